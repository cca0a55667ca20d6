"""Where a run of training keeps what resumes it, and what becomes of that.

FOLDER/checkpoint/          of the training whose weights are kept
FOLDER/choose/checkpoint/   of the one before it that chose the number of epochs, if any
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from nextclick.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

CHOOSE = "choose"
_PLACES = ("checkpoint", f"{CHOOSE}/checkpoint")


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write over the checkpoint of a stopped run, or remove it if asked to.

    Raises:
        OutputError: there is one, and nobody said to begin anew.
    """
    if overwrite:
        forget_checkpoints(folder)
    elif has_checkpoint(folder):
        raise OutputError(
            f"{folder} holds the checkpoint of a run that was stopped; say --resume to go on with "
            "it, or --overwrite to begin anew"
        )


def has_checkpoint(folder: Path) -> bool:
    """Whether a run that was stopped there can go on."""
    return any((folder / place).exists() for place in _PLACES)


def forget_checkpoints(folder: Path) -> None:
    """Remove what resumes a run, and leave its `metrics.jsonl`."""
    for place in _PLACES:
        shutil.rmtree(folder / place, ignore_errors=True)
