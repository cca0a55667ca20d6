"""Adam for sparse gradients: a step updates only the rows that have a gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.training.gradient_rows import RowSums, as_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from nextclick.core.types import Float32Array, Int64Array


class RowAdam(torch.optim.SparseAdam):
    """`torch.optim.SparseAdam` with a compiled pass over the rows on the CPU.

    Kingma & Ba, Adam, ICLR 2015. Moments and weights of a row change only in steps with a gradient
    g for the row, the sum of its entries; the bias corrections are those of step n of the table:

        m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²
        w ← w - rate · √(1 - β₂ⁿ) / (1 - β₁ⁿ) · m / (√v + ε)

    PyTorch sorts the entries to sum them, and makes a dozen passes over the rows.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float):
        super().__init__(parameters, lr=lr)
        self._row_sums = RowSums()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is ignored."""
        del closure
        weights = [weight for group in self.param_groups for weight in group["params"]]
        if any(weight.device.type != "cpu" for weight in weights):
            super().step()
            return
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        assert weight.grad is not None
        rows, grad = self._row_sums(weight.grad, len(weight))
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        update_rows(
            as_rows(weight.detach()),
            as_rows(state["exp_avg"]),
            as_rows(state["exp_avg_sq"]),
            rows,
            grad,
            (
                np.float32(group["lr"] * correction),
                np.float32(beta1),
                np.float32(beta2),
                np.float32(group["eps"]),
            ),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def update_rows(
    weight: Float32Array,
    mean: Float32Array,
    square: Float32Array,
    rows: Int64Array,
    grad: Float32Array,
    parameters: tuple[np.float32, np.float32, np.float32, np.float32],
) -> None:
    """Update the rows of a gradient, in place.

    Args:
        weight: (N, d) weights, updated.
        mean: (N, d), m, updated.
        square: (N, d), v, updated.
        rows: (R,) distinct, in 0..N - 1.
        grad: (R, d), g.
        parameters: the corrected rate, β₁, β₂ and ε.
    """
    rate, beta1, beta2, eps = parameters
    one = np.float32(1.0)
    for i in range(len(rows)):
        row = rows[i]
        for k in range(grad.shape[1]):
            g = grad[i, k]
            mean[row, k] += (one - beta1) * (g - mean[row, k])
            square[row, k] += (one - beta2) * (g * g - square[row, k])
            weight[row, k] -= rate * mean[row, k] / (np.sqrt(square[row, k]) + eps)
