"""Where a training stores its checkpoints.

FOLDER/checkpoint/          of the training whose weights become the model
FOLDER/choose/checkpoint/   of the training before it that selects the number of epochs, if any
FOLDER/in-order/checkpoint/ of the one in chronological order; see `order_of_time`
FOLDER/0-narm/train_inner/  of the first training of member 0 of a blend: a FOLDER of its own
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from nextclick.core.storage import restore_interrupted
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

CHOOSE, IN_ORDER = "choose", "in-order"
_CHECKPOINTS = ("checkpoint", f"{CHOOSE}/checkpoint", f"{IN_ORDER}/checkpoint")


def require_no_checkpoint(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace the checkpoint of an interrupted training, or delete it.

    Raises:
        OutputError: a checkpoint exists, and `overwrite` is false.
    """
    if overwrite:
        remove_checkpoints(folder)
    elif has_checkpoint(folder):
        raise OutputError(
            f"{folder} holds the checkpoint of an interrupted training; use --resume to continue "
            "it, or --overwrite to start again"
        )


def has_checkpoint(folder: Path) -> bool:
    """Whether an interrupted training can be resumed from the folder."""
    paths = [folder / checkpoint for checkpoint in _CHECKPOINTS]
    for path in paths:
        restore_interrupted(path)
    return any(path.exists() for path in paths) or any(
        has_checkpoint(member) for member in member_folders(folder)
    )


def find_damage(folder: Path) -> str | None:
    """Why a checkpoint in the folder is damaged; None if all are intact."""
    from nextclick.training.checkpoint import find_checkpoint_damage  # imports torch

    damages = (find_checkpoint_damage(folder / checkpoint) for checkpoint in _CHECKPOINTS)
    found = next((damage for damage in damages if damage is not None), None)
    return found or next(filter(None, map(find_damage, member_folders(folder))), None)


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints in a folder, but not its `metrics.jsonl`."""
    for checkpoint in _CHECKPOINTS:
        shutil.rmtree(folder / checkpoint, ignore_errors=True)
    for member in member_folders(folder):
        remove_checkpoints(member)


def member_folders(folder: Path) -> list[Path]:
    """The folders of the trainings of a blend's members below a folder."""
    return sorted(path for path in folder.glob("[0-9]*-*/train*") if path.is_dir())
