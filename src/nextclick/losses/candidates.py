"""Scores of each prefix's target and of what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding

from nextclick.losses.checks import check_shapes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """P targets, each beside M negatives.

    Attributes:
        positive: (P,) logit of the target, float32 (float64 for float64 inputs).
        negative: (P, M) logits of the negatives, in the same precision.
        items: (M,) what they are where all rows share them, else (P, M).
        counted: (P, M) bool, False for a negative that is the row's own target, for padding, and
            for what the caller rules out.
    """

    positive: Tensor
    negative: Tensor
    items: Tensor
    counted: Tensor


def score_candidates(
    query: Tensor,
    table: Tensor,
    targets: Tensor,
    negatives: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    in_batch: bool = False,
    counted: Tensor | None = None,
    sparse: bool = False,
) -> Candidates:
    """Score the targets and their negatives; other rows of the table are neither read nor moved.

    Args:
        query: (P, D).
        table: (N + 1, D).
        targets: (P,) int64 in 1..N.
        negatives: (M,) int64, drawn for all rows together, or (P, M) with each row's own; 0 is
            padding. An item that stands there twice counts twice.
        bias: (N + 1,), or None.
        in_batch: let each row's target be a negative of all other rows, in P columns that come
            before the others.
        counted: bool in the shape (P, M), True where a negative may count; None rules out none.
        sparse: give `table` and `bias` sparse gradients, of the gathered rows alone.

    Raises:
        ValueError: no negatives at all, or shapes that do not fit.
    """
    check_shapes(query, table, targets, bias)
    if negatives is None:
        if not in_batch:
            raise ValueError("negatives must be given unless in_batch is true")
        negatives = targets[:0]
    P, M = len(targets), negatives.shape[-1]
    if negatives.shape not in ((M,), (P, M)):
        raise ValueError(f"negatives must be (M,) or ({P}, M), got {tuple(negatives.shape)}")
    if counted is not None and counted.shape != (P, M):
        raise ValueError(f"counted must be ({P}, {M}), got {tuple(counted.shape)}")

    gathered = torch.cat([targets, negatives.flatten()])
    rows = embedding(gathered, table, sparse=sparse)  # (P + M, D) or (P + P M, D)
    biases = None if bias is None else bias.gather(0, gathered, sparse_grad=sparse)
    positive = (query * rows[:P]).sum(1)  # (P,)
    if biases is not None:
        positive = positive + biases[:P]
    if negatives.ndim == 1:
        first = 0 if in_batch else P
        negative = _shared(query, rows[first:], None if biases is None else biases[first:])
        items = gathered[first:]
    else:
        own = torch.einsum("pd,pmd->pm", query, rows[P:].view(P, M, -1))
        negative = own if biases is None else own + biases[P:].view(P, M)
        items = negatives
        if in_batch:
            others = _shared(query, rows[:P], None if biases is None else biases[:P])
            negative = torch.cat([others, negative], dim=1)
            items = torch.cat([targets.expand(P, P), negatives], dim=1)
    allowed = (items != targets[:, None]) & (items != 0)  # (P, M)
    if counted is not None:
        allowed[:, -M:] &= counted
    return Candidates(_precise(positive), _precise(negative), items, allowed)


def _shared(query: Tensor, rows: Tensor, bias: Tensor | None) -> Tensor:
    """(P, M)."""
    return query @ rows.T if bias is None else torch.addmm(bias, query, rows.T)


def _precise(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()
