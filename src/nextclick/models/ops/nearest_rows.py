"""The rows of a table with the largest products with a query.

For the 512 largest of 10,000 products and 512 queries on one CPU thread, `torch.topk` takes 46 ms.
A partition that finds the k-th largest product and a kernel that collects the products not below it
take 15 ms. The gradient of the k products reads their rows instead of the whole table. In an
exported graph, operations of PyTorch compute the same.
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
    """Return the k largest products of each query with the rows of a table, and these rows.

    Args:
        query: (P, H) float32.
        table: (M, H) float32; receives no gradient.
        hidden: bool, (1, M) or (P, M); rows whose product counts as -inf.
        k: in 1..M.

    Returns:
        (P, k) float32 products, unsorted, and (P, k) int64 distinct rows in 0..M - 1.
    """
    if torch.compiler.is_compiling():
        products = (query @ table.T).masked_fill(hidden, -torch.inf)  # (P, M)
        return products.topk(k, dim=1, sorted=False)
    products, rows = _Nearest.apply(query, table, hidden, k)  # type: ignore[no-untyped-call]
    return products, rows


class _Nearest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, table: Tensor, hidden: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        all_products = (query @ table.T).masked_fill_(hidden, -torch.inf)  # (P, M)
        if query.device.type == "cpu":
            products, rows = _largest(all_products.numpy(), k)
        else:
            products, rows = all_products.topk(k, dim=1, sorted=False)
        ctx.save_for_backward(table, rows)
        ctx.mark_non_differentiable(rows)
        return products, rows

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        table, rows = ctx.saved_tensors
        return weighted_rows(table, rows, grad), None, None, None


def weighted_rows(table: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """(P, H) Σ_k w_pk table[rows_pk] of a table (M, H), rows (P, k) and weights (P, k)."""
    if torch.compiler.is_compiling():
        return (weight[:, None] @ table[rows])[:, 0]
    bounds = torch.arange(len(rows) + 1, device=rows.device) * rows.shape[1]
    return group_sum(table, rows.flatten(), bounds, weight.flatten())


def _largest(products: Float32Array, k: int) -> tuple[Tensor, Tensor]:
    kth = products.shape[1] - k
    threshold = np.partition(products, kth, axis=1)[:, kth]
    largest = torch.empty(len(products), k)
    rows = torch.empty(len(products), k, dtype=torch.int64)
    _take_largest(products, threshold, largest.numpy(), rows.numpy())
    return largest, rows


@njit(cache=True, nogil=True)
def _take_largest(
    products: Float32Array, threshold: Float32Array, largest: Float32Array, rows: Int64Array
) -> None:
    """Collect products above the threshold, then products equal to it, or NaN, up to k."""
    k = rows.shape[1]
    for p in range(len(products)):
        row, n = products[p], 0
        for m in range(len(row)):
            if row[m] > threshold[p]:
                rows[p, n] = m
                n += 1
        m = 0
        while n < k:
            if not (row[m] > threshold[p] or row[m] < threshold[p]):
                rows[p, n] = m
                n += 1
            m += 1
        for j in range(k):
            largest[p, j] = row[rows[p, j]]
