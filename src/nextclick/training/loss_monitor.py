"""Keeps an eye on the loss: adds it up, and stops at the first that is not finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nextclick.errors import TrainingError
from nextclick.training.optim import not_finite

if TYPE_CHECKING:
    from nextclick.training.checkpoint import TrainingPosition
    from nextclick.training.optim import Named

READ_EVERY = 16  # losses read from an accelerator at a time: each reading waits for it


class LossMonitor:
    """Adds losses to the position of a run."""

    def __init__(self, named: Named, position: TrainingPosition):
        self._named = named
        self._at = position
        self._unread: list[tuple[int, int, Tensor]] = []

    def take(self, loss: Tensor, n_samples: int) -> None:
        """Take the () loss of a step before it changes the weights; see `read`."""
        self._unread.append((self._at.total_steps + 1, n_samples, loss.detach()))
        if loss.device.type == "cpu" or len(self._unread) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Add up what was taken.

        Raises:
            TrainingError: a loss is not finite; with the step and the weights that are not.
        """
        if not self._unread:
            return
        losses = torch.stack([loss for _, _, loss in self._unread]).tolist()
        for (step, n_samples, _), loss in zip(self._unread, losses, strict=True):
            if not math.isfinite(loss):
                raise TrainingError(f"step {step}: the loss is {loss}; {self._cause()}")
            self._at.loss += loss * n_samples
        self._unread.clear()

    def check_weights(self) -> None:
        """Raise TrainingError if a weight is not finite."""
        names = not_finite(self._named)
        if names:
            raise TrainingError(
                f"step {self._at.total_steps}: the weights {names} are not finite; {_ADVICE}"
            )

    def _cause(self) -> str:
        names = not_finite(self._named)
        if names:
            return f"the weights {names} are not finite; {_ADVICE}"
        return f"all weights are finite, so that the step itself overflows; {_ADVICE}"


_ADVICE = "lower learning_rate, set clip, or set precision=float32"
