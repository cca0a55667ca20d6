"""Everything that a run needs to go on as if it had never stopped.

FOLDER/
metrics.jsonl         one line for each step that was told and each epoch
checkpoint/           written whole or not at all
  manifest.json       whose it is, where it stands, what it has seen
  GROUP.safetensors   tensors by name, data only; groups are weights, best (weights), optimizer,
                      feed (states of lanes) and random (states of generators)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nextclick.core.storage import atomic_folder
from nextclick.errors import ArtifactError
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT_VERSION = 1
KIND = "nextclick.checkpoint"
_ANEW = "say --overwrite instead of --resume to begin anew"


@dataclass(slots=True)
class TrainingPosition:
    """Where a run stands.

    Attributes:
        epoch: the one it is in, from 0.
        step: steps of it that are done.
        total_steps: steps of all epochs.
        samples: prefixes of this epoch that are done.
        loss: sum over them.
        seconds: wall time of the steps of this epoch.
        rate: learning rate of the last step.
        best_epoch: from 1, the epoch whose weights are kept as the best, None before the first.
        best: its validation.
        waited: epochs since then.
        finished: no step is left to do.
        history: what each epoch came to.
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
    waited: int = 0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What has to be the same for a run to go on.

    Attributes:
        model: name, config and number of items.
        training: the training config, epochs included, and the seed.
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
    """Write `folder/checkpoint`, in place of the one before.

    Writing a file copies its tensors, so each group has its own.

    Raises:
        OutputError: it cannot be written.
    """
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "nextclick": __version__,
        "identity": asdict(identity),
        "position": asdict(position),
        "groups": list(groups),
    }
    with atomic_folder(folder / "checkpoint", overwrite=True) as place:
        for group, tensors in groups.items():
            save_file(_alone(tensors), place / f"{group}.safetensors")
        (place / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _alone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors that share no memory, which the format refuses."""
    flat: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        flat[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return flat


def load(
    folder: Path, identity: RunIdentity
) -> tuple[TrainingPosition, dict[str, dict[str, Tensor]]]:
    """Read what `save` wrote for the same run.

    Raises:
        ArtifactError: there is none, it is broken, or it is of another model, training or store.
    """
    place = folder / "checkpoint"
    try:
        manifest = json.loads((place / "manifest.json").read_text("utf-8"))
        kind, version = manifest["kind"], int(manifest["format_version"])
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} holds no checkpoint to go on from; start without --resume"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(
            f"{place}: not the manifest of a checkpoint: {error!r}; {_ANEW}"
        ) from error
    if kind != KIND:
        raise ArtifactError(f"{place} is a {kind}, not a checkpoint; name the folder of a run")
    if version != FORMAT_VERSION or manifest.get("nextclick") != __version__:
        raise ArtifactError(
            f"{place} was written by nextclick {manifest.get('nextclick')} (checkpoint format "
            f"{version}), this is {__version__} (format {FORMAT_VERSION}), which might go on in "
            f"another way; {_ANEW}"
        )
    try:
        _check_same(place, manifest["identity"], _plain(asdict(identity)))
        position = TrainingPosition(**manifest["position"])
        groups = {group: load_file(place / f"{group}.safetensors") for group in manifest["groups"]}
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{place}: this checkpoint is broken: {error!r}; {_ANEW}") from error
    return position, groups


def _check_same(place: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for what in ("data", "model", "training"):
        if found[what] != asked[what]:
            names = sorted(
                name
                for name in found[what].keys() | asked[what].keys()
                if found[what].get(name) != asked[what].get(name)
            )
            differing = "; ".join(
                f"{name} is {found[what].get(name)!r} there and {asked[what].get(name)!r} here"
                for name in names
            )
            raise ArtifactError(
                f"{place}: this checkpoint is of other {what} (fingerprint "
                f"{_fingerprint(found[what])}, asked for is {_fingerprint(asked[what])}): "
                f"{differing}; ask for the same, or {_ANEW}"
            )


def _fingerprint(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _plain(values: Any) -> Any:
    return json.loads(json.dumps(values))
