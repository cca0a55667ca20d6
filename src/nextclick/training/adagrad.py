"""Adagrad with momentum and row-wise updates for sparse gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.training.gradient_rows import as_rows, is_compiled
from nextclick.training.row_optimizer import RowOptimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from nextclick.core.types import Float32Array, Int64Array
    from nextclick.training.row_optimizer import State


class Adagrad(RowOptimizer):
    """Adagrad with momentum, as in the code of GRU4Rec's authors.

        a ← a + g²        v ← momentum · v − rate · g / √(a + 1e-6)        w ← w + v

    A sparse gradient updates each of its rows once, with the sum of the row's entries. Without
    momentum the result equals that of the dense gradient. With momentum, v of a row changes only in
    steps with a gradient for the row, as in the authors' code.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-6,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eps": eps}
        super().__init__(parameters, defaults)

    def initial_state(self, weight: Tensor, group: State) -> State:
        """a, and v with momentum."""
        state = {"sum": torch.zeros_like(weight)}
        return state | ({"velocity": torch.zeros_like(weight)} if group["momentum"] else {})

    def update(self, weight: Tensor, state: State, group: State) -> None:
        """Update one parameter, of a dense or sparse gradient."""
        assert weight.grad is not None
        if weight.grad.is_sparse:
            super().update(weight, state, group)
        else:
            _step_dense(weight, state, group)

    def update_rows(
        self, weight: Tensor, state: State, group: State, rows: Int64Array, grad: Float32Array
    ) -> None:
        """See `RowOptimizer`."""
        update_rows(
            as_rows(weight),
            as_rows(state["sum"]),
            as_rows(state.get("velocity", weight.new_zeros(0))),
            rows,
            grad,
            *_numbers(group),
        )

    @staticmethod
    def update_coalesced(
        weight: Tensor, state: State, group: State, rows: Tensor, grad: Tensor
    ) -> None:
        """See `RowOptimizer`."""
        total = state["sum"].index_select(0, rows).addcmul_(grad, grad)
        state["sum"].index_copy_(0, rows, total)
        change = grad.mul(-group["lr"]).div_(total.add_(group["eps"]).sqrt_())
        if group["momentum"]:
            velocity = state["velocity"].index_select(0, rows)
            change.add_(velocity, alpha=group["momentum"])
            state["velocity"].index_copy_(0, rows, change)
        weight.index_add_(0, rows, change)


def _step_dense(weight: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]) -> None:
    grad = weight.grad
    assert grad is not None
    if group["weight_decay"]:
        grad = grad.add(weight, alpha=group["weight_decay"])
    total, velocity = state["sum"], state.get("velocity")
    tensors = [weight, total, grad] if velocity is None else [weight, total, grad, velocity]
    if is_compiled(weight) and all(tensor.is_contiguous() for tensor in tensors):
        update_rows(
            _one_row(weight),
            _one_row(total),
            np.empty((0, 1), np.float32) if velocity is None else _one_row(velocity),
            np.zeros(1, np.int64),
            _one_row(grad),
            *_numbers(group),
        )
        return
    scale = total.addcmul_(grad, grad).add(group["eps"]).sqrt_()
    if velocity is not None:
        weight.add_(velocity.mul_(group["momentum"]).addcdiv_(grad, scale, value=-group["lr"]))
    else:
        weight.addcdiv_(grad, scale, value=-group["lr"])


def _numbers(group: Mapping[str, Any]) -> tuple[np.float32, np.float32, np.float32]:
    """Learning rate, momentum and ε."""
    return np.float32(group["lr"]), np.float32(group["momentum"]), np.float32(group["eps"])


def _one_row(tensor: Tensor) -> Float32Array:
    row: Float32Array = tensor.view(1, -1).numpy()
    return row


@njit(cache=True, nogil=True, error_model="numpy")
def update_rows(
    weight: Float32Array,
    total: Float32Array,
    velocity: Float32Array,
    rows: Int64Array,
    grad: Float32Array,
    rate: np.float32,
    momentum: np.float32,
    eps: np.float32,
) -> None:
    """Update the rows of a gradient, in place.

    Args:
        weight: (N, d) weights, updated.
        total: (N, d) sums of squared gradients, updated.
        velocity: (N, d), updated; (0, d) without momentum.
        rows: (R,) distinct, in 0..N - 1.
        grad: (R, d), gradient of each row.
        rate: learning rate.
        momentum: factor of the previous velocity.
        eps: added to the sum of squares.
    """
    has_momentum = len(velocity) > 0
    for i in range(len(rows)):
        row = rows[i]
        for k in range(grad.shape[1]):
            g = grad[i, k]
            total[row, k] += g * g
            change = -rate * g / np.sqrt(total[row, k] + eps)
            if has_momentum:
                change += momentum * velocity[row, k]
                velocity[row, k] = change
            weight[row, k] += change
