"""Full softmax: cross entropy over the whole catalog in bounded memory.

With logits z_j = q·w_j + b_j over the items j = 1..N, p = softmax(z) and t the target of a row,

    loss = mean over the P rows of  log Σ_j exp z_j - z_t
    ∂loss/∂z_j = (p_j - [j = t]) / P

The gradients depend only on values of the forward pass, which computes them block by block
(`losses.blocks`). The P x N logits are neither stored nor computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from nextclick.losses.blocks import MAX_CELLS, BlockSettings, Gradients, sweep
from nextclick.losses.checks import check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def full_softmax(
    query: Tensor,
    table: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    matmul_dtype: torch.dtype | None = None,
    max_cells: int = MAX_CELLS,
) -> Tensor:
    """Return the mean cross entropy of the targets among items 1..N; item 0 is no candidate.

    Loss and gradients equal those of
    `F.cross_entropy(query @ table[1:].T + bias[1:], targets - 1)` up to rounding. If no gradient is
    required (as under `no_grad`), only the loss is computed. It cannot be differentiated twice. A
    second backward pass (`retain_graph=True`) computes the gradients again, because the first one
    hands them over without a copy.

    Args:
        query: (P, D), one row per prefix.
        table: (N + 1, D); row 0 is ignored and gets gradient 0.
        targets: (P,) int64 in 1..N.
        bias: (N + 1,), or None.
        matmul_dtype: precision of the products. None is that of the inputs, or bfloat16 under
            bfloat16 autocast. Sums, logarithms and the target's logit are always float32 (float64
            for float64 inputs).
        max_cells: maximum number of logits in a block.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: shapes do not match, there is no target, or (on the CPU only) a target is not
            in 1..N.
    """
    check_shapes(query, table, targets, bias)
    if max_cells < 1:
        raise ValueError(f"max_cells must be at least 1, got {max_cells}")
    settings = BlockSettings(matmul_dtype or _product_dtype(query, table), max_cells)
    if torch.is_grad_enabled() and any(
        x is not None and x.requires_grad for x in (query, table, bias)
    ):
        return _FullSoftmax.apply(query, table, bias, targets, settings)  # type: ignore[no-any-return, no-untyped-call]
    return sweep(query, table, bias, targets, settings)[0]


def _product_dtype(query: Tensor, table: Tensor) -> torch.dtype:
    device = query.device.type
    if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16:
        return torch.bfloat16
    dtype = torch.promote_types(query.dtype, table.dtype)
    return torch.float32 if dtype == torch.float16 else dtype  # the maximum of float16 is 65504


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        settings: BlockSettings,
    ) -> Tensor:
        ctx.settings = settings.with_gradients(*ctx.needs_input_grad[:3])
        loss, ctx.gradients = sweep(query, table, bias, targets, ctx.settings)
        ctx.save_for_backward(query, table, bias, targets)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients: Gradients | None = ctx.gradients
        ctx.gradients = None  # released, so that `.grad` takes them over without a copy
        if gradients is None:
            query, table, bias, targets = ctx.saved_tensors
            gradients = sweep(query, table, bias, targets, ctx.settings)[1]
        if upstream.device.type != "cpu" or upstream.item() != 1.0:
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(upstream)
        return (*gradients, None, None)
