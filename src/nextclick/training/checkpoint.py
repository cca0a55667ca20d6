"""Checkpoints: the complete state of a run, so that a resumed run gives bit-identical weights.

FOLDER/
metrics.jsonl         one line for each reported step and each epoch
checkpoint/           written atomically
  manifest.json       identity of the run, position, metrics of all epochs so far, digests
  GROUP.safetensors   tensors by name, without executable content; groups are weights, best
                      (weights), optimizer, batch_source (states of lanes) and random (generators);
                      with split item tables rows-R has those of process R, as GROUP.NAME
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nextclick.core.config import build_config
from nextclick.core.file_digests import MANIFEST, find_damage
from nextclick.core.manifests import (
    ManifestError,
    check_files,
    check_manifest,
    describe_os_error,
    format_version,
    read_manifest,
    write_manifest,
)
from nextclick.core.storage import atomic_folder, restore_interrupted
from nextclick.core.tensor_file import write_tensors
from nextclick.errors import ArtifactError, ConfigError
from nextclick.training.checkpoint_checks import check_finite_tensors, check_position
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextclick.core.tensor_file import RowBlocks, Storable
    from nextclick.training.training_plan import TrainingPlan

FORMAT_VERSION = 4  # 3 was validated after every epoch
KIND = "nextclick.checkpoint"
_SECTIONS = ("data", "model", "training")
GROUPS = ("weights", "best", "optimizer", "batch_source", "random")
_Count = Annotated[int, Field(ge=0)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
# raised by a file that was changed together with its digest
_BROKEN = (ConfigError, SafetensorError, ValueError, TypeError, LookupError, RuntimeError)
_START_OVER = "pass --overwrite instead of --resume to start over"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where the checkpoints of a run are, and whether to resume from them.

    Attributes:
        folder: holds `checkpoint/` and `metrics.jsonl`.
        resume: start from the checkpoint in the folder.
        data: identifies the sessions, such as the fingerprint of a store and the part of it.
    """

    folder: Path
    resume: bool = False
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TrainingPosition:
    """Position in a run, and the metrics so far.

    Attributes:
        epoch: current epoch, from 0.
        step: completed steps of the current epoch.
        total_steps: completed steps of all epochs.
        samples: prefixes in the completed steps of the current epoch.
        interval_steps: completed steps since the last validation.
        interval_samples: prefixes in these steps.
        loss: sum of the losses of these prefixes.
        seconds: wall time of these steps.
        rate: learning rate of the last step.
        best_interval: interval with the best validation metric, from 1; None before the first.
        best: validation metric of that interval.
        since_best: validations without a better metric.
        finished: whether the run is complete.
        history: metrics of each completed interval.
    """

    epoch: _Count = 0
    step: _Count = 0
    total_steps: _Count = 0
    samples: _Count = 0
    interval_steps: _Count = 0
    interval_samples: _Count = 0
    loss: _Finite = 0.0
    seconds: _Finite = 0.0
    rate: _Finite = 0.0
    best_interval: Annotated[int, Field(ge=1)] | None = None
    best: _Finite | None = None
    since_best: _Count = 0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What determines the result of a run; a checkpoint resumes only a run with the same identity.

    Attributes:
        model: name, config and number of items.
        training: training config, plan and seed.
        data: fingerprint of the store, and the part of it.
    """

    model: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]


def save(
    folder: Path,
    identity: RunIdentity,
    position: TrainingPosition,
    groups: Mapping[str, Mapping[str, Tensor | RowBlocks]],
) -> None:
    """Write `folder/checkpoint` and replace the previous one.

    Args:
        folder: the folder of the run.
        identity: what determines the result of the run.
        position: position in the run.
        groups: the tensors of each of `GROUPS`, a file each, and of `rows_group` of each process.

    Raises:
        OutputError: the checkpoint cannot be written.
    """
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "identity": asdict(identity),
        "position": asdict(position),
    }
    with atomic_folder(folder / "checkpoint", overwrite=True, replaces=(KIND,)) as scratch:
        for group, tensors in groups.items():
            write_tensors(scratch / f"{group}.safetensors", _as_arrays(tensors))
        write_manifest(scratch, manifest)


def _as_arrays(tensors: Mapping[str, Tensor | RowBlocks]) -> dict[str, Storable]:
    return {
        name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }


def load(
    folder: Path, identity: RunIdentity, plan: TrainingPlan
) -> tuple[TrainingPosition, dict[str, dict[str, Tensor]]]:
    """Read a checkpoint that `save` wrote for a run with the same identity.

    All files are compared with their digests, and the position and the tensors are checked. The
    caller compares the tensors with those of its run, within `reading`.

    Args:
        folder: the folder of the run.
        identity: what determines the result of the run.
        plan: length of the run.

    Raises:
        ArtifactError: the checkpoint is missing, is broken, or belongs to a run with another
            model, training config or store.
    """
    path = folder / "checkpoint"
    manifest = _read_manifest(path)
    with reading(folder):
        check_files(path, manifest["files"])
    with reading(folder, MANIFEST):
        saved = manifest["identity"]
        if not isinstance(saved, dict) or not all(isinstance(saved[s], dict) for s in _SECTIONS):
            raise ManifestError(f"identity must consist of mappings, got {saved!r:.60}")
    _check_identity(path, saved, _as_json(asdict(identity)))
    with reading(folder, MANIFEST):
        position = build_config(TrainingPosition, manifest["position"], "the position")
        check_position(position, plan)
    groups = {}
    for group in GROUPS:
        with reading(folder, f"{group}.safetensors"):
            groups[group] = load_file(path / f"{group}.safetensors")
            check_finite_tensors(groups[group])
    return position, groups


def rows_group(rank: int) -> str:
    """The name of the file of the rows of a process, for item tables that are split."""
    return f"rows-{rank}"


@contextmanager
def reading(folder: Path, name: str = "") -> Iterator[None]:
    """Convert an error of reading a file of a checkpoint into one that names the file.

    Raises:
        ArtifactError: the file is broken, or cannot be read.
    """
    file = folder / "checkpoint" / name
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {describe_os_error(error)}") from error
    except _BROKEN as error:
        reason = f"{error} is missing" if type(error) is KeyError else str(error)
        raise ArtifactError(
            f"{file}: this checkpoint is broken: {reason}; restore it from a copy, or {_START_OVER}"
        ) from error


def find_checkpoint_damage(path: Path) -> str | None:
    """Why the folder of a checkpoint is damaged; None if it is intact or does not exist."""
    if not path.exists():
        return None
    try:
        damage = find_damage(path, _read_manifest(path)["files"])
    except (ArtifactError, OSError) as error:
        return str(error)
    return None if damage is None else f"{path / damage}"


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        restore_interrupted(path)
        manifest = read_manifest(path / MANIFEST)
        kind, version = manifest["kind"], format_version(manifest)
        if "digest" in manifest or (kind, version) == (KIND, FORMAT_VERSION):
            check_manifest(manifest)  # first: damage must not look like another kind or version
    except FileNotFoundError:
        raise ArtifactError(
            f"{path.parent} has no checkpoint to resume from; start without --resume"
        ) from None
    except OSError as error:
        raise ArtifactError(
            f"{path / MANIFEST}: cannot be read: {describe_os_error(error)}"
        ) from error
    except (ManifestError, KeyError) as error:
        raise ArtifactError(
            f"{path / MANIFEST}: not the manifest of a checkpoint: {error!r}; {_START_OVER}"
        ) from error
    if kind != KIND:
        raise ArtifactError(f"{path} is a {kind}, not a checkpoint; name the folder of a run")
    if version != FORMAT_VERSION or manifest.get("nextclick") != __version__:
        raise ArtifactError(
            f"{path} was written by nextclick {manifest.get('nextclick')} (checkpoint format "
            f"{version}), but this is nextclick {__version__} (format {FORMAT_VERSION}), which may "
            f"give other weights; {_START_OVER}"
        )
    return manifest


def _check_identity(path: Path, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    for section in _SECTIONS:
        if saved[section] != current[section]:
            differences = "; ".join(
                f"{name} is {saved[section].get(name)!r} in the checkpoint and "
                f"{current[section].get(name)!r} in this run"
                for name in sorted(saved[section].keys() | current[section].keys())
                if saved[section].get(name) != current[section].get(name)
            )
            raise ArtifactError(
                f"{path}: this checkpoint belongs to a run with other {section} (fingerprint "
                f"{_fingerprint(saved[section])}, this run has {_fingerprint(current[section])}): "
                f"{differences}; use the same values, or {_START_OVER}"
            )


def _fingerprint(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _as_json(values: Any) -> Any:
    return json.loads(json.dumps(values))
