"""Adagrad with momentum and row-wise updates for sparse gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nextclick.core.types import Float32Array, Int32Array, Int64Array


class Adagrad(torch.optim.Optimizer):
    """Adagrad with momentum, as in the code of GRU4Rec's authors.

        a ← a + g²        v ← momentum · v − rate · g / √(a + 1e-6)        w ← w + v

    A sparse gradient updates each of its rows once, with the sum of the row's entries. Without
    momentum the result equals that of the dense gradient. With momentum, v of a row changes only in
    steps with a gradient for the row, as in the authors' code. On the CPU one compiled pass does
    the update in less than half the time of coalescing and tensor operations.
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
        self._slots: dict[int, Int32Array] = {}  # by number of rows; all -1 between steps

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is ignored."""
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["sum"] = torch.zeros_like(weight)
                    if group["momentum"]:
                        state["velocity"] = torch.zeros_like(weight)
                if not weight.grad.is_sparse:
                    _step_dense(weight, state, group)
                elif weight.device.type == "cpu" and weight.dtype == torch.float32:
                    self._step_rows(weight, state, group)
                else:
                    _step_coalesced(weight, state, group)

    def _step_rows(self, weight: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        assert weight.grad is not None
        n_rows = len(weight)
        if n_rows not in self._slots:
            self._slots[n_rows] = np.full(n_rows, -1, dtype=np.int32)
        velocity = state.get("velocity", weight.new_zeros(0))
        values = weight.grad._values()
        update_rows(
            _as_rows(weight),
            _as_rows(state["sum"]),
            _as_rows(velocity),
            weight.grad._indices()[0].numpy(),
            _as_rows(values.contiguous()),
            self._slots[n_rows],
            np.float32(group["lr"]),
            np.float32(group["momentum"]),
            np.float32(group["eps"]),
        )


def _as_rows(tensor: Tensor) -> Float32Array:
    """View (n, d) as it is and (n,) as (n, 1)."""
    rows: Float32Array = (tensor[:, None] if tensor.ndim == 1 else tensor).numpy()
    return rows


def _step_dense(weight: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]) -> None:
    grad = weight.grad
    assert grad is not None
    if group["weight_decay"]:
        grad = grad.add(weight, alpha=group["weight_decay"])
    scale = state["sum"].addcmul_(grad, grad).add(group["eps"]).sqrt_()
    if group["momentum"]:
        velocity = state["velocity"].mul_(group["momentum"])
        weight.add_(velocity.addcdiv_(grad, scale, value=-group["lr"]))
    else:
        weight.addcdiv_(grad, scale, value=-group["lr"])


def _step_coalesced(weight: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]) -> None:
    assert weight.grad is not None
    coalesced = weight.grad.coalesce()  # the square is of the sum of a row's entries
    rows, grad = coalesced.indices()[0], coalesced.values()  # (R,), (R, d)
    total = state["sum"].index_select(0, rows).addcmul_(grad, grad)
    state["sum"].index_copy_(0, rows, total)
    change = grad.mul(-group["lr"]).div_(total.add_(group["eps"]).sqrt_())
    if group["momentum"]:
        velocity = state["velocity"].index_select(0, rows)
        change.add_(velocity, alpha=group["momentum"])
        state["velocity"].index_copy_(0, rows, change)
    weight.index_add_(0, rows, change)


@njit(cache=True, nogil=True, error_model="numpy")
def update_rows(
    weight: Float32Array,
    total: Float32Array,
    velocity: Float32Array,
    rows: Int64Array,
    grad: Float32Array,
    slots: Int32Array,
    rate: np.float32,
    momentum: np.float32,
    eps: np.float32,
) -> None:
    """Update the rows of a sparse gradient, in place.

    Args:
        weight: (N, d) weights, updated.
        total: (N, d) sums of squared gradients, updated.
        velocity: (N, d), updated; (0, d) without momentum.
        rows: (R,) in 0..N - 1, unsorted, with duplicates.
        grad: (R, d), entries of the gradient.
        slots: (N,) scratch, -1 before and after the call.
        rate: learning rate.
        momentum: factor of the previous velocity.
        eps: added to the sum of squares.
    """
    n, d = 0, weight.shape[1]
    summed = np.empty((len(rows), d), dtype=np.float32)
    distinct_rows = np.empty(len(rows), dtype=np.int64)
    for i in range(len(rows)):
        row = rows[i]
        slot = slots[row]
        if slot < 0:
            slots[row] = n
            distinct_rows[n] = row
            summed[n] = grad[i]
            n += 1
        else:
            summed[slot] += grad[i]
    has_momentum = len(velocity) > 0
    for slot in range(n):
        row = distinct_rows[slot]
        slots[row] = -1
        for k in range(d):
            g = summed[slot, k]
            total[row, k] += g * g
            change = -rate * g / np.sqrt(total[row, k] + eps)
            if has_momentum:
                change += momentum * velocity[row, k]
                velocity[row, k] = change
            weight[row, k] += change
