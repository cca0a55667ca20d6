"""Checkpoints: the complete state of a run, so that a resumed run gives bit-identical weights.

FOLDER/
metrics.jsonl         one line for each reported step and each epoch
checkpoint/           written atomically
  manifest.json       identity of the run, position, metrics of all epochs so far
  GROUP.safetensors   tensors by name, without executable content; groups are weights, best
                      (weights), optimizer, batch_source (states of lanes) and random (generators)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nextclick.core.manifests import write_manifest
from nextclick.core.storage import atomic_folder
from nextclick.errors import ArtifactError
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT_VERSION = 2  # 1 had other names for the group batch_source and a field of the position
KIND = "nextclick.checkpoint"
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
        loss: sum of the losses of these prefixes.
        seconds: wall time of these steps.
        rate: learning rate of the last step.
        best_epoch: epoch with the best validation metric, from 1; None before the first.
        best: validation metric of that epoch.
        epochs_since_best: epochs without a better validation metric.
        finished: whether the run is complete.
        history: metrics of each completed epoch.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    samples: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    rate: float = 0.0
    best_epoch: int | None = None
    best: float | None = None
    epochs_since_best: int = 0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What determines the result of a run; a checkpoint resumes only a run with the same identity.

    Attributes:
        model: name, config and number of items.
        training: training config, number of epochs and seed.
        data: fingerprint of the store, and the part of it.
    """

    model: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]


def save(
    folder: Path,
    identity: RunIdentity,
    position: TrainingPosition,
    groups: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Write `folder/checkpoint` and replace the previous one.

    Each group is a file of its own, because writing a file copies its tensors.

    Raises:
        OutputError: the checkpoint cannot be written.
    """
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "identity": asdict(identity),
        "position": asdict(position),
        "groups": list(groups),
    }
    with atomic_folder(folder / "checkpoint", overwrite=True, replaces=(KIND,)) as scratch:
        for group, tensors in groups.items():
            save_file(_unshared(tensors), scratch / f"{group}.safetensors")
        write_manifest(scratch, manifest)


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors without shared memory, which safetensors rejects."""
    unshared: dict[str, Tensor] = {}
    pointers = set()
    for name, tensor in tensors.items():
        contiguous = tensor.detach().cpu().contiguous()
        shared = contiguous.data_ptr() in pointers
        unshared[name] = contiguous.clone() if shared else contiguous
        pointers.add(contiguous.data_ptr())
    return unshared


def load(
    folder: Path, identity: RunIdentity
) -> tuple[TrainingPosition, dict[str, dict[str, Tensor]]]:
    """Read a checkpoint that `save` wrote for a run with the same identity.

    Raises:
        ArtifactError: the checkpoint is missing, is broken, or belongs to a run with another
            model, training config or store.
    """
    path = folder / "checkpoint"
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        kind, version = manifest["kind"], int(manifest["format_version"])
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} has no checkpoint to resume from; start without --resume"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(
            f"{path}: not the manifest of a checkpoint: {error!r}; {_START_OVER}"
        ) from error
    if kind != KIND:
        raise ArtifactError(f"{path} is a {kind}, not a checkpoint; name the folder of a run")
    if version != FORMAT_VERSION or manifest.get("nextclick") != __version__:
        raise ArtifactError(
            f"{path} was written by nextclick {manifest.get('nextclick')} (checkpoint format "
            f"{version}), but this is nextclick {__version__} (format {FORMAT_VERSION}), which may "
            f"give other weights; {_START_OVER}"
        )
    try:
        _check_identity(path, manifest["identity"], _as_json(asdict(identity)))
        position = TrainingPosition(**manifest["position"])
        groups = {group: load_file(path / f"{group}.safetensors") for group in manifest["groups"]}
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: this checkpoint is broken: {error!r}; {_START_OVER}"
        ) from error
    return position, groups


def _check_identity(path: Path, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    for section in ("data", "model", "training"):
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
