"""Artifact: a trained model on disk.

ARTIFACT/
manifest.json          format version, model, config, training data
card.json              model card; see `model_card`
weights.safetensors    arrays of the model, without executable content
encoder.onnx           the encoder of a neural model, see `models.exported`; of a blend,
                       encoder-0.onnx and so on by member
items/                 vocabulary, and support.npy (N + 1,) int64: clicks in training
items/table/           features of the items, if the store has an item table
users/                 vocabulary, for a model that reads users
log/                   items.npy, offsets.npy: training sessions, for a model that needs them for a
                       refresh and was trained with the option to refresh
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from nextclick.artifact.artifact_manifest import (
    ARTIFACT,
    FORMAT_VERSION,
    KIND,
    local_artifact,
    read_manifest,
)
from nextclick.artifact.model_card import CARD, build_card
from nextclick.core.array_checks import ArrayError, check_range, check_sessions, open_array
from nextclick.core.config import build_config
from nextclick.core.display import Display, Displayed
from nextclick.core.file_digests import MANIFEST, find_damage
from nextclick.core.item_table import COLUMNS_FILE, ItemTable
from nextclick.core.manifests import ManifestError, describe_os_error, write_manifest
from nextclick.core.remote_upload import check_output, open_output
from nextclick.core.sessions import Sessions
from nextclick.core.tensor_file import write_tensors
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ArtifactError, ConfigError, StoreError
from nextclick.models.exported.encoder_file import write_encoders
from nextclick.models.exported.served_models import exported_model, with_exported_members
from nextclick.models.features.item_features import known_items
from nextclick.models.model_registry import model_class
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextclick.core.processes import Processes
    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.models.base import Model

WEIGHTS = "weights.safetensors"
ITEM_TABLE = "items/table"
_TRAINED_KEYS = ("part", "seed", "seconds", "counts", "data_fingerprint", "protocol")
# raised by a file that was changed together with its digest
_BROKEN = (
    *(ConfigError, StoreError, SafetensorError),
    *(ValueError, TypeError, LookupError, RuntimeError),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Artifact(Displayed):
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
        item_table: features of the items; None without an item table.
    """

    model: Model
    items: Vocabulary
    support: Int64Array
    trained: dict[str, Any]
    users: Vocabulary | None = None
    log: Sessions | None = None
    item_table: ItemTable | None = None

    @property
    def known_items(self) -> BoolArray:
        """(N + 1,) bool, the items that the model can rank; see `known_items`."""
        return known_items(self.model.config, self.support, self.item_table)

    @property
    def candidates(self) -> BoolArray | None:
        """(N + 1,) bool, the items that may be recommended; None for all.

        Items of an item table without a click are candidates of models with features only.
        """
        known = self.known_items
        lists_unclicked = self.trained.get("catalog") == "all"
        return known if lists_unclicked and not known[1:].all() else None

    def display(self) -> Display:
        """What is shown of the artifact: the model, its parameters and its training."""
        counts, seconds = self.trained.get("counts") or {}, self.trained.get("seconds")
        return Display(
            f"Artifact of {self.model.name}",
            {
                "items": self.model.n_items,
                "users": None if self.users is None else len(self.users),
                "trained on": self.trained.get("part"),
                "clicks": counts.get("events"),
                "sessions": counts.get("sessions"),
                "seconds": seconds,
                "data": self.trained.get("data_fingerprint"),
            },
            ("parameter", "value"),
            [[name, value] for name, value in asdict(self.model.config).items()],
        )

    def save(
        self,
        target: str | Path,
        *,
        overwrite: bool = False,
        evaluation: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the folder atomically, or upload it to an address such as `s3://bucket/model`.

        Args:
            target: the folder or the address.
            overwrite: replace an artifact.
            evaluation: `Result.to_json` of this model, for its card, or None.

        Raises:
            OutputError: the folder exists, or it cannot be written.
        """
        with open_output(ARTIFACT, target, overwrite=overwrite) as output:
            self.write(output.path, evaluation)

    @staticmethod
    def check_output(target: str | Path, *, overwrite: bool = False) -> None:
        """Check that `save` may write the folder, for use before a long training.

        Raises:
            OutputError: the folder exists, or is not an artifact that may be replaced.
        """
        check_output(ARTIFACT, target, overwrite=overwrite)

    def write(self, folder: Path, evaluation: Mapping[str, Any] | None = None) -> None:
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
        write_tensors(folder / WEIGHTS, self.model.stored_state())
        write_encoders(self.model, folder, WEIGHTS)
        self.items.save(folder / "items")
        np.save(folder / "items" / "support.npy", self.support)
        if self.item_table is not None:
            self.item_table.save(folder / ITEM_TABLE)
        if self.users is not None:
            self.users.save(folder / "users")
        if self.log is not None:
            (folder / "log").mkdir()
            np.save(folder / "log" / "items.npy", self.log.items)
            np.save(folder / "log" / "offsets.npy", self.log.offsets)
        card = build_card(manifest, evaluation)
        text = json.dumps(card, indent=2, ensure_ascii=False, default=str) + "\n"
        (folder / CARD).write_text(text, encoding="utf-8")
        write_manifest(folder, manifest)

    @classmethod
    def load(
        cls, path: str | Path, shards: Processes | None = None, *, to_serve: bool = False
    ) -> Artifact:
        """Load a folder that `save` wrote, without executing anything in it.

        Args:
            path: the folder, or its address in object storage, which is downloaded into the cache.
            shards: the processes that the rows of the item tables are split over; None loads all
                rows into this one.
            to_serve: load the exported encoder of a neural model, if the artifact has one, in place
                of its PyTorch modules. The model then answers requests, and cannot be trained.

        Raises:
            ArtifactError: the folder is not an artifact, has another format version, or a file is
                missing or broken.
            ConfigError: the model has no item tables that can be split.
        """
        folder = local_artifact(path)
        manifest = read_manifest(folder)
        _check_files(folder, manifest["files"])
        with _naming(folder, MANIFEST):
            config, trained = _read_fields(manifest)
            exported = exported_model(folder, manifest["files"], WEIGHTS) if to_serve else None
            model_type = model_class(manifest["model"]) if exported is None else type(exported)
            settings = build_config(model_type.Config, config, manifest["model"])
            if exported is not None:
                exported.check_origin(manifest["model"], settings, folder)
        items, users = _open_vocabularies(folder, "users" in model_type.requires(settings))
        n_items = len(items)
        if shards is not None:
            model_type.check_splittable()
        with _naming(folder, "items/support.npy"):
            support = open_array(folder / "items" / "support.npy", np.int64, in_memory=True)
            if not manifest["n_items"] == n_items == len(support) - 1:
                raise ArrayError(
                    f"the manifest names {manifest['n_items']} items, the vocabulary has "
                    f"{n_items}, the support {len(support) - 1}"
                )
            check_range("support", support, 0, 2**62)
        with _naming(folder, WEIGHTS):
            if exported is not None:
                model: Model = exported
            elif shards is None:
                state = load_file(folder / WEIGHTS)
                model_type.check_state(state, settings, n_items)
                model = model_type.from_state(state, settings)
                if to_serve:
                    model = with_exported_members(model, folder, manifest["files"], WEIGHTS)
            else:
                model = model_type.load_rows(folder / WEIGHTS, settings, n_items, shards)
                assert model.shards is not None
                model.shards.digest = manifest["files"][WEIGHTS]
            if model.n_items != n_items:
                raise ArrayError(
                    f"the model scores {model.n_items} items, the vocabulary has {n_items}"
                )
            if users is not None and model.n_users not in (None, len(users)):
                raise ArrayError(
                    f"the model reads {model.n_users} users, the vocabulary has {len(users)}"
                )
        log = _read_log(folder, n_items) if "log/items.npy" in manifest["files"] else None
        item_table = None
        if f"{ITEM_TABLE}/{COLUMNS_FILE}" in manifest["files"]:
            item_table = _read_item_table(folder, n_items)
        return cls(model, items, support, trained, users, log, item_table)


def _read_fields(manifest: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and the fields of the training, and check that both are mappings."""
    config, trained = manifest["config"], manifest["trained"]
    for name, value in (("config", config), ("trained", trained)):
        if not isinstance(value, dict):
            raise ManifestError(f"{name} must be a mapping, got {value!r:.60}")
    return config, {**{name: trained[name] for name in _TRAINED_KEYS}, **trained}


@contextmanager
def _naming(folder: Path, name: str) -> Iterator[None]:
    """Convert an error of reading a file into an ArtifactError that names the file.

    Raises:
        ArtifactError: the file is broken.
    """
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{folder / name}: cannot be read: {describe_os_error(error)}"
        ) from error
    except _BROKEN as error:
        reason = f"{error} is missing" if type(error) is KeyError else str(error)
        raise ArtifactError(
            f"{folder / name}: this artifact is broken: {reason}; train again"
        ) from error


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare all files with their digests.

    Raises:
        ArtifactError: one is damaged, missing or cannot be read.
    """
    with _naming(folder, ""):
        damage = find_damage(folder, files)
    if damage is not None:
        raise ArtifactError(
            f"{folder}: this artifact is broken: {damage}; restore it from a copy, or train again"
        )


def _open_vocabularies(folder: Path, with_users: bool) -> tuple[Vocabulary, Vocabulary | None]:
    try:
        items = Vocabulary.open(folder / "items")
        return items, Vocabulary.open(folder / "users") if with_users else None
    except StoreError as error:
        raise ArtifactError(f"{folder}: this artifact is broken: {error}; train again") from error


def _read_log(folder: Path, n_items: int) -> Sessions:
    with _naming(folder, "log"):
        sessions = Sessions(
            items=open_array(folder / "log" / "items.npy", np.int32),
            offsets=open_array(folder / "log" / "offsets.npy", np.int64),
            n_items=n_items,
        )
        check_sessions(sessions)
    return sessions


def _read_item_table(folder: Path, n_items: int) -> ItemTable:
    with _naming(folder, ITEM_TABLE):
        table = ItemTable.open(folder / ITEM_TABLE)
        if table.n_items != n_items:
            raise ArrayError(
                f"the item table has {table.n_items} items, the vocabulary has {n_items}"
            )
    return table


def copy_artifact(path: str | Path, target: Path) -> None:
    """Copy the files that the manifest of an artifact lists into an empty folder.

    Raises:
        ArtifactError: the artifact contains a symbolic link, or a file changed meanwhile.
        OSError: a file cannot be copied.
    """
    source = local_artifact(path)
    files = read_manifest(source)["files"]
    for path in source.rglob("*"):
        if path.is_symlink():
            raise ArtifactError(
                f"{path} is a symbolic link, which is not followed; replace it by the file"
            )
    for name in (MANIFEST, *files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name, follow_symlinks=False)
    _check_files(target, read_manifest(target)["files"])
