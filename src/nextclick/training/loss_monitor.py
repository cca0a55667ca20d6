"""Sums the losses of an epoch and stops the run at the first loss that is not finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nextclick.errors import TrainingError
from nextclick.training.optim import non_finite_names

if TYPE_CHECKING:
    from nextclick.training.checkpoint import TrainingPosition
    from nextclick.training.optim import NamedParameters

READ_EVERY = 16  # losses per transfer from an accelerator: each transfer synchronizes
_ADVICE = "lower learning_rate, set clip, or set precision=float32"


class LossMonitor:
    """Adds the losses of an epoch to the position of a run."""

    def __init__(self, parameters: NamedParameters, position: TrainingPosition):
        self._parameters = parameters
        self._position = position
        self._pending: list[tuple[int, int, Tensor]] = []

    def add(self, loss: Tensor, n_samples: int) -> None:
        """Add the () loss of a step, before the step changes the weights.

        Losses of an accelerator are buffered until `read`.
        """
        self._pending.append((self._position.total_steps + 1, n_samples, loss.detach()))
        if loss.device.type == "cpu" or len(self._pending) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Add the pending losses to the position.

        Raises:
            TrainingError: a loss is not finite; the message names the step and the weights that
                are not finite.
        """
        if not self._pending:
            return
        losses = torch.stack([loss for _, _, loss in self._pending]).tolist()
        for (step, n_samples, _), loss in zip(self._pending, losses, strict=True):
            if not math.isfinite(loss):
                raise TrainingError(f"step {step}: the loss is {loss}; {self._cause()}")
            self._position.loss += loss * n_samples
        self._pending.clear()

    def check_weights(self) -> None:
        """Check that all weights are finite.

        Raises:
            TrainingError: a weight is not finite.
        """
        names = non_finite_names(self._parameters)
        if names:
            raise TrainingError(
                f"step {self._position.total_steps}: the weights {names} are not finite; {_ADVICE}"
            )

    def _cause(self) -> str:
        names = non_finite_names(self._parameters)
        if names:
            return f"the weights {names} are not finite; {_ADVICE}"
        return f"all weights are finite, so the step itself overflows; {_ADVICE}"
