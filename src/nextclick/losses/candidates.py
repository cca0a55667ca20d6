"""Scores of the target and of the negatives of each prefix."""

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
    """Scores of P targets and of M negatives for each.

    Attributes:
        positive: (P,) logit of the target, float32 (float64 for float64 inputs).
        negative: (P, M) logits of the negatives, in the same precision.
        items: (M,) item indices of negatives shared by all rows, else (P, M).
        valid: (P, M) bool, False for a negative that is the row's target, for padding, and where
            the caller's mask is False.
    """

    positive: Tensor
    negative: Tensor
    items: Tensor
    valid: Tensor


def score_candidates(
    query: Tensor,
    table: Tensor,
    targets: Tensor,
    negatives: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    in_batch: bool = False,
    batch_targets: Tensor | None = None,
    valid: Tensor | None = None,
    sparse: bool = False,
) -> Candidates:
    """Score targets and negatives; other rows of the table are not read and get no gradient.

    Args:
        query: (P, D).
        table: (N + 1, D).
        targets: (P,) int64 in 1..N.
        negatives: (M,) int64 shared by all rows, or (P, M) for each row; 0 is padding. A duplicate
            counts twice.
        bias: (N + 1,), or None.
        in_batch: use each row's target as a negative of all other rows, in P columns before the
            others.
        batch_targets: (Q,) int64 targets of the whole batch, for rows that are a part of it;
            `in_batch` then uses these, in Q columns. None is `targets`.
        valid: (P, M) bool mask of `negatives`; None allows all.
        sparse: give `table` and `bias` sparse gradients of the gathered rows.

    Raises:
        ValueError: there are no negatives, or shapes do not match.
    """
    check_shapes(query, table, targets, bias)
    if negatives is None:
        if not in_batch:
            raise ValueError("negatives must be given unless in_batch is true")
        negatives = targets[:0]
    P, M = len(targets), negatives.shape[-1]
    if negatives.shape not in ((M,), (P, M)):
        raise ValueError(f"negatives must be (M,) or ({P}, M), got {tuple(negatives.shape)}")
    if valid is not None and valid.shape != (P, M):
        raise ValueError(f"valid must be ({P}, {M}), got {tuple(valid.shape)}")

    pool = targets[:0] if batch_targets is None or not in_batch else batch_targets
    first = 0 if in_batch and batch_targets is None else P  # of the negatives of the batch
    sampled = P + len(pool)  # first of the others
    gathered = torch.cat([targets, pool, negatives.flatten()])
    rows = embedding(gathered, table, sparse=sparse)  # (P + Q + M, D) or (P + Q + P M, D)
    biases = None if bias is None else bias.gather(0, gathered, sparse_grad=sparse)
    positive = (query * rows[:P]).sum(1)  # (P,)
    if biases is not None:
        positive = positive + biases[:P]
    if negatives.ndim == 1:
        negative = _shared(query, rows[first:], None if biases is None else biases[first:])
        items = gathered[first:]
    else:
        own = torch.einsum("pd,pmd->pm", query, rows[sampled:].view(P, M, -1))
        negative = own if biases is None else own + biases[sampled:].view(P, M)
        items = negatives
        if in_batch:
            batch = slice(first, sampled)
            others = _shared(query, rows[batch], None if biases is None else biases[batch])
            negative = torch.cat([others, negative], dim=1)
            items = torch.cat([gathered[batch].expand(P, -1), negatives], dim=1)
    allowed = (items != targets[:, None]) & (items != 0)  # (P, M)
    if valid is not None:
        allowed[:, -M:] &= valid
    return Candidates(_precise(positive), _precise(negative), items, allowed)


def _shared(query: Tensor, rows: Tensor, bias: Tensor | None) -> Tensor:
    """(P, M)."""
    return query @ rows.T if bias is None else torch.addmm(bias, query, rows.T)


def _precise(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()
