"""Sampled softmax of targets against negatives that all rows share, with closed-form gradients.

With z_p the logit of row p's target and z_pm = q_p · w_m + b_m those of the M negatives,

    s_p  = exp z_p + Σ_m exp z_pm,  m not the target of row p
    loss = mean over the P rows of  log s_p - z_p

The (P, M) cells are computed in one buffer. One product with [w ; b] gives the logits to base 2,
`exp2` takes a third of the time of `exp` on a CPU, and a compiled pass clears the cells of
accidental hits. The backward pass reads the buffer in its two products. Composed of tensor
operations, the loss keeps six arrays of that size and takes twice as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable

from nextclick.losses.blocks import LOG2E, MAX_SAFE_LOGIT, logit_bound

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array


def shared_softmax(
    query: Tensor, rows: Tensor, offsets: Tensor, targets: Tensor, negatives: Tensor
) -> Tensor:
    """Return the mean cross entropy; it cannot be differentiated twice.

    Args:
        query: (P, D).
        rows: (P + M, D) vectors of the targets, then of the negatives, M ≥ 1.
        offsets: (P + M,) added to their logits.
        targets: (P,) int64 items.
        negatives: (M,) int64 items; 0 and a row's own target are omitted.

    Returns:
        A scalar, float32 (float64 for float64 inputs).
    """
    loss: Tensor = _SharedSoftmax.apply(query, rows, offsets, targets, negatives)  # type: ignore[no-untyped-call]
    return loss


class _SharedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, rows: Tensor, offsets: Tensor, targets: Tensor, negatives: Tensor
    ) -> Tensor:
        P = len(query)
        with torch.autocast(query.device.type, enabled=False):
            dtype = torch.promote_types(query.dtype, torch.float32)
            query, rows, offsets = query.to(dtype), rows.to(dtype), offsets.to(dtype)
            extended = torch.cat([query, query.new_ones(P, 1)], dim=1).mul_(LOG2E)  # (P, D + 1)
            candidates = torch.cat([rows, offsets[:, None]], dim=1)  # (P + M, D + 1)
            positive = (extended * candidates[:P]).sum(1)  # (P,), logits to base 2
            cells = extended @ candidates[P:].T  # (P, M), logits to base 2
            shift = torch.zeros_like(positive)  # (P,)
            if bool(logit_bound(query, rows, offsets) > MAX_SAFE_LOGIT):
                shift = torch.maximum(cells.amax(1), positive)
                cells.sub_(shift[:, None])
            clear_hits(cells.exp2_(), targets, negatives)
            target = (positive - shift).exp2()  # (P,)
            total = cells.sum(1).add_(target)  # (P,), s_p / 2^shift
        ctx.save_for_backward(query, rows, cells, total, target)
        return (total.log2() + shift - positive).mean() / LOG2E

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, rows, cells, total, target = ctx.saved_tensors
        P = len(query)
        share = upstream / P
        weight = share / total  # (P,): cells · weight are the gradients of the logits
        d_positive = (target * weight).sub_(share)  # (P,)
        d_query = (cells @ rows[P:]).mul_(weight[:, None])
        d_query.addcmul_(d_positive[:, None], rows[:P])
        d_rows = torch.empty_like(rows)
        torch.mul(query, d_positive[:, None], out=d_rows[:P])
        # the transposed product takes two thirds of the time of cells.T @ query
        d_rows[P:] = ((query * weight[:, None]).T @ cells).T
        d_offsets = None
        if ctx.needs_input_grad[2]:
            d_offsets = torch.cat([d_positive, weight @ cells])
        return d_query, d_rows, d_offsets, None, None


def clear_hits(cells: Tensor, targets: Tensor, negatives: Tensor) -> None:
    """Set to 0 the cells (P, M) whose negative (M,) is the row's target (P,) or padding."""
    if cells.device.type == "cpu":
        _clear_hits(cells.numpy(), targets.numpy(), negatives.numpy())
    else:
        cells.masked_fill_((negatives == targets[:, None]) | (negatives == 0), 0.0)


@njit(cache=True, nogil=True)
def _clear_hits(cells: AnyArray, targets: Int64Array, negatives: Int64Array) -> None:
    n_slots = 1
    while n_slots < 2 * len(negatives):
        n_slots *= 2
    first = np.full(n_slots, -1, dtype=np.int32)  # a chain of columns for each hash of an item
    following = np.empty(len(negatives), dtype=np.int32)
    for column in range(len(negatives)):
        slot = negatives[column] & (n_slots - 1)
        following[column] = first[slot]
        first[slot] = column
    for row in range(len(targets)):
        column = first[targets[row] & (n_slots - 1)]
        while column >= 0:
            if negatives[column] == targets[row]:
                cells[row, column] = 0.0
            column = following[column]
    column = first[0]
    while column >= 0:
        if negatives[column] == 0:
            cells[:, column] = 0.0
        column = following[column]
