"""The distinct rows of a sparse gradient and their sums, by one compiled pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array, Int32Array, Int64Array


class RowSums:
    """Sums the duplicate rows of sparse gradients; keeps one scratch array per table size."""

    def __init__(self) -> None:
        self._slots: dict[int, Int32Array] = {}  # by number of rows; all -1 between calls

    def __call__(self, grad: Tensor, n_rows: int) -> tuple[Int64Array, Float32Array]:
        """Distinct rows (R,) and the sums (R, d) of their entries.

        Args:
            grad: a sparse gradient (n_rows, d) or (n_rows,) on the CPU.
            n_rows: number of rows of the weights.
        """
        if grad.is_coalesced():
            return grad._indices()[0].numpy(), as_rows(grad._values())
        if n_rows not in self._slots:
            self._slots[n_rows] = np.full(n_rows, -1, dtype=np.int32)
        rows = grad._indices()[0].numpy()
        return sum_rows(rows, as_rows(grad._values().contiguous()), self._slots[n_rows])


def distinct_rows(table: Tensor, row_sums: RowSums) -> tuple[Tensor, Tensor]:
    """The distinct rows (R,) of the gradient of a table, and their sums (R, d); none without one.

    Args:
        table: (n, d) or (n,), with a sparse gradient or None.
        row_sums: for tables on the CPU.
    """
    grad, width = table.grad, table[0].numel()
    if grad is None:
        rows = torch.zeros(0, dtype=torch.int64, device=table.device)
        return rows, table.new_zeros(0, width)
    if is_compiled(grad):
        index, values = row_sums(grad, len(table))
        return torch.from_numpy(index), torch.from_numpy(values)
    grad = grad.coalesce()
    return grad.indices()[0], grad.values().view(-1, width)


def is_compiled(tensor: Tensor) -> bool:
    """Whether compiled passes sum and update the rows of a tensor."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def as_rows(tensor: Tensor) -> Float32Array:
    """View (n, d) as it is and (n,) as (n, 1)."""
    rows: Float32Array = (tensor[:, None] if tensor.ndim == 1 else tensor).numpy()
    return rows


@njit(cache=True, nogil=True)
def sum_rows(
    rows: Int64Array, grad: Float32Array, slots: Int32Array
) -> tuple[Int64Array, Float32Array]:
    """Distinct rows in the order of their first entry, and the sums of their entries.

    Args:
        rows: (n,) in 0..N - 1, unsorted, with duplicates.
        grad: (n, d), entries of the gradient.
        slots: (N,) scratch, -1 before and after the call.
    """
    n_distinct, d = 0, grad.shape[1]
    sums = np.empty((len(rows), d), dtype=np.float32)
    distinct = np.empty(len(rows), dtype=np.int64)
    for i in range(len(rows)):
        slot = slots[rows[i]]
        if slot < 0:
            slots[rows[i]] = n_distinct
            distinct[n_distinct] = rows[i]
            sums[n_distinct] = grad[i]
            n_distinct += 1
        else:
            sums[slot] += grad[i]
    for slot in range(n_distinct):
        slots[distinct[slot]] = -1
    return distinct[:n_distinct], sums[:n_distinct]
