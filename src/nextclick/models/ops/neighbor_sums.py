"""Weighted sums of the rows of a table, whose gradients are summed before they are stored.

`torch.nn.functional.embedding_bag` with sparse gradients stores D numbers for each summand, 8 MB in
a step of Cosine-GRU, and the optimizer then sums the duplicates. Here a compiled pass adds the
gradients to one row for each distinct summand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array, Int32Array, Int64Array


def neighbor_sums(
    table: Tensor, neighbors: Tensor, weights: Tensor, *, sparse: bool = False
) -> Tensor:
    """(n, D) Σ_k w_k table[j_k].

    Args:
        table: (N + 1, D).
        neighbors: (n, K) integers in 0..N, j.
        weights: (n, K), w, without gradient.
        sparse: give `table` a sparse gradient of the rows that occur.
    """
    if table.device.type != "cpu" or table.dtype != torch.float32:
        return embedding_bag(
            neighbors.long(), table, per_sample_weights=weights, mode="sum", sparse=sparse
        )
    sums: Tensor = _NeighborSums.apply(table, neighbors, weights, sparse)  # type: ignore[no-untyped-call]
    return sums


class _NeighborSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, neighbors: Tensor, weights: Tensor, sparse: bool
    ) -> Tensor:
        ctx.save_for_backward(neighbors, weights)
        ctx.shape, ctx.sparse = table.shape, sparse
        sums = torch.zeros(len(neighbors), table.shape[1])
        arrays = (table.detach().contiguous(), neighbors, weights, sums)
        _add_neighbors(*(x.numpy() for x in arrays))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        neighbors, weights = ctx.saved_tensors
        rows, sums = _sum_gradients(
            grad.contiguous().numpy(), neighbors.numpy(), weights.numpy(), ctx.shape[0]
        )
        index, values = torch.from_numpy(rows), torch.from_numpy(sums)
        if ctx.sparse:
            sparse = torch.sparse_coo_tensor(index[None], values, ctx.shape, check_invariants=False)
            return sparse, None, None, None
        return grad.new_zeros(ctx.shape).index_copy_(0, index, values), None, None, None


@njit(cache=True, nogil=True)
def _add_neighbors(
    table: Float32Array, neighbors: Int32Array, weights: Float32Array, sums: Float32Array
) -> None:
    for i in range(len(neighbors)):
        total = sums[i]
        for k in range(neighbors.shape[1]):
            w, row = weights[i, k], table[neighbors[i, k]]
            if w != 0.0:
                for d in range(len(row)):
                    total[d] += w * row[d]


@njit(cache=True, nogil=True)
def _sum_gradients(
    grad: Float32Array, neighbors: Int32Array, weights: Float32Array, n_rows: int
) -> tuple[Int64Array, Float32Array]:
    """Distinct rows (R,) in the order of their first use, and their gradients (R, D)."""
    slots = np.full(n_rows, -1, dtype=np.int32)
    rows = np.empty(min(neighbors.size, n_rows), dtype=np.int64)
    n = 0
    for row in neighbors.flat:
        if slots[row] < 0:
            slots[row], rows[n] = n, row
            n += 1
    sums = np.zeros((n, grad.shape[1]), dtype=np.float32)
    for i in range(len(neighbors)):
        own = grad[i]
        for k in range(neighbors.shape[1]):
            w, total = weights[i, k], sums[slots[neighbors[i, k]]]
            if w != 0.0:
                for d in range(len(own)):
                    total[d] += w * own[d]
    return rows[:n], sums
