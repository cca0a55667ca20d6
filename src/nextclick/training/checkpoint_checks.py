"""Checks of what a checkpoint contains, before a run continues from it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from nextclick.core.array_checks import ArrayError
from nextclick.models.ops.finite import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.training.checkpoint import TrainingPosition
    from nextclick.training.training_plan import TrainingPlan


def check_position(position: TrainingPosition, plan: TrainingPlan) -> None:
    """Check the counters of a position against each other; each is in its own range already.

    Args:
        position: the position.
        plan: length of the run.

    Raises:
        ArrayError: counters that do not fit.
    """
    epochs, n = ceil(plan.ends[-1]), len(position.history)
    if position.epoch > epochs:
        raise ArrayError(f"epoch must be at most {epochs}, got {position.epoch}")
    least = most = sum(end <= position.epoch for end in plan.ends)
    if position.step:  # within an epoch, some of its intervals may be over
        most = sum(end < position.epoch + 1 for end in plan.ends)
    if position.interval_steps:  # the last interval may be over and not validated
        least -= 1
    if not least <= n <= most:
        raise ArrayError(f"history must have {least} to {most} intervals, got {n}")
    for name in ("step", "interval_steps"):
        if getattr(position, name) > position.total_steps:
            raise ArrayError(
                f"{name} must be at most {position.total_steps}, got {getattr(position, name)}"
            )
    if (position.best_interval or 0) > n:
        raise ArrayError(f"best_interval must be at most {n}, got {position.best_interval}")


def check_finite_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Check that no value is NaN or infinite; integers pass.

    Raises:
        ArrayError: a value that is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not is_finite(tensor):
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
