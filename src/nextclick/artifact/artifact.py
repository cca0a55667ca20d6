"""Artifact: a trained model on disk.

ARTIFACT/
manifest.json          format version, model, config, training data
weights.safetensors    arrays of the model, without executable content
items/                 vocabulary, and support.npy (N + 1,) int64: clicks in training
users/                 vocabulary, for a model that reads users
log/                   items.npy, offsets.npy: training sessions, for a model that needs them for a
                       refresh and was trained with the option to refresh
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from nextclick.core.config import build_config
from nextclick.core.sessions import Sessions
from nextclick.core.storage import atomic_folder
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ArtifactError, ConfigError, StoreError
from nextclick.models.model_registry import model_class
from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.models.base import Model

FORMAT_VERSION = 2  # 1 called the part train_inner "fit"
KIND = "nextclick.artifact"
_TRAINED_KEYS = ("part", "seed", "seconds", "counts", "data_fingerprint", "protocol")
# raised by files that were changed after they were written
_BROKEN = (ConfigError, StoreError, SafetensorError, OSError, ValueError, TypeError, IndexError)


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A trained model with its vocabularies and the data of its training.

    Attributes:
        model: trained model.
        items: raw item ids.
        support: (N + 1,) int64, clicks per item in training; they rank the items for a visitor
            without known clicks.
        trained: part, seed, seconds, counts; fingerprint and protocol of the store; for a neural
            model also the summary of its training.
        users: raw user ids, for a model that reads users.
        log: training sessions, items only; None if they are not stored.
    """

    model: Model
    items: Vocabulary
    support: Int64Array
    trained: dict[str, Any]
    users: Vocabulary | None = None
    log: Sessions | None = None

    def save(self, target: str | Path, *, overwrite: bool = False) -> None:
        """Write the folder atomically.

        Raises:
            OutputError: the folder exists, or it cannot be written.
        """
        with atomic_folder(Path(target), overwrite=overwrite) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the files into an empty folder; unlike `save`, not atomically."""
        manifest = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "nextclick": __version__,
            "model": self.model.name,
            "config": asdict(self.model.config),
            "n_items": self.model.n_items,
            "trained": self.trained,
        }
        arrays = {name: np.ascontiguousarray(a) for name, a in self.model.state().items()}
        _save_weights(arrays, folder / "weights.safetensors")
        self.items.save(folder / "items")
        np.save(folder / "items" / "support.npy", self.support)
        if self.users is not None:
            self.users.save(folder / "users")
        if self.log is not None:
            (folder / "log").mkdir()
            np.save(folder / "log" / "items.npy", self.log.items)
            np.save(folder / "log" / "offsets.npy", self.log.offsets)
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / "manifest.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Load a folder that `save` wrote, without executing anything in it.

        Raises:
            ArtifactError: the folder is not an artifact, has another format version, or a file is
                missing or broken.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        try:
            model_type = model_class(manifest["model"])
            config = build_config(model_type.Config, manifest["config"], manifest["model"])
            model = model_type.from_state(load_file(folder / "weights.safetensors"), config)
            items = Vocabulary.open(folder / "items")
            reads_users = "users" in model_type.requires(config)
            users = Vocabulary.open(folder / "users") if reads_users else None
            support = np.load(folder / "items" / "support.npy")
            log = _read_log(folder / "log", len(items))
            trained = {
                **{name: manifest["trained"][name] for name in _TRAINED_KEYS},
                **manifest["trained"],
            }
        except KeyError as error:
            raise ArtifactError(
                f"{folder}: this artifact is broken: {error} is missing; train again"
            ) from error
        except _BROKEN as error:
            raise ArtifactError(
                f"{folder}: this artifact is broken: {error}; train again"
            ) from error
        if not model.n_items == len(items) == len(support) - 1:
            raise ArtifactError(
                f"{folder}: this artifact is broken: the model scores {model.n_items} items, "
                f"the vocabulary has {len(items)}, the support {len(support) - 1}; train again"
            )
        return cls(model, items, support, trained, users, log)


def _read_log(folder: Path, n_items: int) -> Sessions | None:
    if not folder.exists():
        return None
    items, offsets = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("items", "offsets")
    )
    return Sessions(items=items, offsets=offsets, n_items=n_items)


def _save_weights(arrays: dict[str, AnyArray], path: Path) -> None:
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        match = re.search(r"os error (\d+)", str(error))
        if match is None:
            raise
        code = int(match[1])  # safetensors reports a full disk in the text only
        raise OSError(code, os.strerror(code)) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an artifact.

    Raises:
        ArtifactError: the folder is not an artifact, or it has another format version.
    """
    file = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        kind, version = manifest["kind"], int(manifest["format_version"])
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} is not an artifact (it has no manifest.json); make one with "
            "`nextclick train STORE --model NAME -o ARTIFACT`"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(f"{file}: not the manifest of an artifact: {error!r}") from error
    if kind != KIND:
        raise ArtifactError(
            f"{folder} is a {kind}, not an artifact; name the folder of an artifact"
        )
    if version != FORMAT_VERSION:
        remedy = "upgrade nextclick" if version > FORMAT_VERSION else "train again"
        raise ArtifactError(
            f"{folder} has artifact format {version}, but this version of nextclick reads format "
            f"{FORMAT_VERSION}: {remedy}"
        )
    return manifest
