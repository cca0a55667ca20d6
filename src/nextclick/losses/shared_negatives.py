"""Sampled softmax of targets against negatives that all rows share, with closed-form gradients.

With z_p the logit of row p's target and z_pm = q_p · w_m + b_m those of the M negatives,

    s_p  = exp z_p + Σ_m exp z_pm,  m not the target of row p
    loss = mean over the P rows of  log s_p - z_p

The (P, M) cells are computed in one buffer: a product, the exponentials, and their sum. The
backward pass reads the buffer in its two products. Composed of tensor operations, the loss keeps
six arrays of that size and takes twice as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from nextclick.losses.blocks import MAX_SAFE_LOGIT, logit_bound

if TYPE_CHECKING:
    from torch import Tensor


def shared_softmax(
    query: Tensor,
    targets: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    hits: tuple[Tensor, Tensor],
) -> Tensor:
    """Return the mean cross entropy; it cannot be differentiated twice.

    Args:
        query: (P, D).
        targets: (P, D) vectors of the targets, and (P,) added to their logits.
        negatives: (M, D) vectors of the negatives, M ≥ 1, and (M,) added to their logits.
        hits: rows and columns of the cells to omit, (H,) int64 each; see `hit_cells`.

    Returns:
        A scalar, float32 (float64 for float64 inputs).
    """
    (target_rows, target_bias), (rows, bias) = targets, negatives
    positive = (query * target_rows).sum(1) + target_bias  # (P,)
    loss: Tensor = _SharedSoftmax.apply(query, positive, rows, bias, *hits)  # type: ignore[no-untyped-call]
    return loss


def hit_cells(targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the (P, M) cells whose negative (M,) is the row's target (P,) or 0."""
    with_hits = torch.isin(targets, negatives).nonzero()[:, 0]
    row, column = (targets[with_hits, None] == negatives).nonzero(as_tuple=True)
    padding = (negatives == 0).nonzero()[:, 0]  # (Z,)
    every_row = torch.arange(len(targets), device=targets.device)
    return (
        torch.cat([with_hits[row], every_row.repeat_interleave(len(padding))]),
        torch.cat([column, padding.repeat(len(targets))]),
    )


class _SharedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        positive: Tensor,
        rows: Tensor,
        bias: Tensor,
        hit_row: Tensor,
        hit_column: Tensor,
    ) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            dtype = torch.promote_types(query.dtype, torch.float32)
            query, rows, positive = query.to(dtype), rows.to(dtype), positive.to(dtype)
            bias = bias.to(dtype)
            cells = torch.mm(query, rows.T).add_(bias)  # (P, M), logits
            shift = torch.zeros_like(positive)  # (P,)
            bound = torch.maximum(logit_bound(query, rows, bias), positive.abs().amax())
            if bool(bound > MAX_SAFE_LOGIT):
                shift = torch.maximum(cells.amax(1), positive)
                cells.sub_(shift[:, None])
            cells.exp_()
            cells[hit_row, hit_column] = 0.0
            target = (positive - shift).exp()  # (P,)
            total = cells.sum(1).add_(target)  # (P,), s_p / exp shift
        ctx.save_for_backward(query, rows, cells, total, target)
        return (total.log() + shift - positive).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, rows, cells, total, target = ctx.saved_tensors
        share = upstream / len(query)
        weight = share / total  # (P,): cells · weight are the gradients of the logits
        d_query = (cells @ rows).mul_(weight[:, None])
        d_rows = cells.T @ (query * weight[:, None])
        d_bias = cells.T @ weight if ctx.needs_input_grad[3] else None
        return d_query, target * weight - share, d_rows, d_bias, None, None
