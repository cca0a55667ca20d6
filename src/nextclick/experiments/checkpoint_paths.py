"""Where a training stores its checkpoints.

FOLDER/checkpoint/          of the training whose weights become the model
FOLDER/choose/checkpoint/   of the preceding training that selects the number of epochs, if any
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from nextclick.core.storage import restore_interrupted
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

CHOOSE = "choose"
_CHECKPOINTS = ("checkpoint", f"{CHOOSE}/checkpoint")


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
    return any(path.exists() for path in paths)


def find_damage(folder: Path) -> str | None:
    """Why a checkpoint in the folder is damaged; None if all are intact."""
    from nextclick.training.checkpoint import find_checkpoint_damage  # imports torch

    damages = (find_checkpoint_damage(folder / checkpoint) for checkpoint in _CHECKPOINTS)
    return next((damage for damage in damages if damage is not None), None)


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints in a folder, but not its `metrics.jsonl`."""
    for checkpoint in _CHECKPOINTS:
        shutil.rmtree(folder / checkpoint, ignore_errors=True)
