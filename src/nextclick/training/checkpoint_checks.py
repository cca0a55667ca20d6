"""Checks of what a checkpoint contains, before a run continues from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nextclick.core.array_checks import ArrayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.training.checkpoint import TrainingPosition


def check_position(position: TrainingPosition, epochs: int) -> None:
    """Check the counters of a position against each other; each is in its own range already.

    Args:
        position: the position.
        epochs: maximum number of epochs of the run.

    Raises:
        ArrayError: counters that do not fit.
    """
    if position.epoch > epochs:
        raise ArrayError(f"epoch must be at most {epochs}, got {position.epoch}")
    if len(position.history) != position.epoch:
        raise ArrayError(f"history must have {position.epoch} epochs, got {len(position.history)}")
    if position.step > position.total_steps:
        raise ArrayError(f"step must be at most {position.total_steps}, got {position.step}")
    if (position.best_epoch or 0) > position.epoch:
        raise ArrayError(f"best_epoch must be at most {position.epoch}, got {position.best_epoch}")


def check_finite_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Check that no value is NaN or infinite; integers pass.

    Raises:
        ArrayError: a value that is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArrayError(f"{name} has a value that is not finite")


def check_same_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that tensors have the names, types and shapes of others.

    Raises:
        ArrayError: a tensor is missing, unknown, or has another type or shape.
    """
    unknown = found.keys() ^ expected.keys()
    if unknown:
        name = min(unknown)
        raise ArrayError(f"{name!r} is {'unknown' if name in found else 'missing'}")
    for name, tensor in expected.items():
        check_tensor(name, found[name], tensor)


def check_tensor(name: str, found: Tensor, expected: Tensor) -> None:
    """Check that a tensor has the type and the shape of another.

    Raises:
        ArrayError: another type or shape.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise ArrayError(
            f"{name} must be {expected.dtype} of shape {tuple(expected.shape)}, got {found.dtype} "
            f"of shape {tuple(found.shape)}"
        )
