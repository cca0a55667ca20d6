"""The rows of a table that have the largest products with a query.

Of 10,000 products per query the 512 largest are wanted. `torch.topk` takes 46 ms for 512 queries on
one thread of a CPU; there a partition that finds the k-th largest, and a kernel that takes what is
not below it, need 15. The gradient of the k products walks their rows instead of the whole table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.models.ops.segments import group_sum

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array, Int64Array


def nearest(query: Tensor, table: Tensor, hidden: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest products of each query with rows of a table, in no order, and these rows.

    Args:
        query: (P, H) float32.
        table: (M, H) float32, no gradient goes there.
        hidden: bool, (1, M) or (P, M); rows whose product counts as -inf.
        k: in 1..M.

    Returns:
        (P, k) float32 products and (P, k) int64 in 0..M - 1, distinct.
    """
    products, at = _Nearest.apply(query, table, hidden, k)  # type: ignore[no-untyped-call]
    return products, at


class _Nearest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, table: Tensor, hidden: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        every = (query @ table.T).masked_fill_(hidden, -torch.inf)  # (P, M)
        if query.device.type == "cpu":
            products, at = _largest(every.numpy(), k)
        else:
            products, at = every.topk(k, dim=1, sorted=False)
        ctx.save_for_backward(table, at)
        ctx.mark_non_differentiable(at)
        return products, at

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        table, at = ctx.saved_tensors
        return weighted_rows(table, at, grad), None, None, None


def weighted_rows(table: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    """(P, H) Σ_k w_pk table[at_pk] of (M, H), (P, k) and (P, k)."""
    bounds = torch.arange(len(at) + 1, device=at.device) * at.shape[1]
    return group_sum(table, at.flatten(), bounds, weight.flatten())


def _largest(products: Float32Array, k: int) -> tuple[Tensor, Tensor]:
    place = products.shape[1] - k
    least = np.partition(products, place, axis=1)[:, place]
    found = torch.empty(len(products), k)
    at = torch.empty(len(products), k, dtype=torch.int64)
    _take(products, least, found.numpy(), at.numpy())
    return found, at


@njit(cache=True, nogil=True)
def _take(products: Float32Array, least: Float32Array, found: Float32Array, at: Int64Array) -> None:
    """Those above the least, then as many that equal it, or are NaN, as there is room for."""
    k = at.shape[1]
    for p in range(len(products)):
        row, n = products[p], 0
        for m in range(len(row)):
            if row[m] > least[p]:
                at[p, n] = m
                n += 1
        m = 0
        while n < k:
            if not (row[m] > least[p] or row[m] < least[p]):
                at[p, n] = m
                n += 1
            m += 1
        for j in range(k):
            found[p, j] = row[at[p, j]]
