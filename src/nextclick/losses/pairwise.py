"""Losses that compare a target's score r with its negatives' scores r_j.

Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, section
3.2.3 (BPR, TOP1); Hidasi & Karatzoglou, Recurrent Neural Networks with Top-k Gains for
Session-based Recommendations, CIKM 2018, section 3 (TOP1-max, BPR-max); hinge as in Spotlight and
ASARS. With w = softmax of the r_j, over the negatives only:

    bpr        mean_j  -log σ(r - r_j)
    top1       mean_j  σ(r_j - r) + σ(r_j²)
    hinge      mean_j  max(0, 1 - r + r_j)
    bpr-max    -log Σ_j w_j σ(r - r_j) + λ Σ_j w_j r_j²
    top1-max   Σ_j w_j (σ(r_j - r) + σ(r_j²))

A final activation of the scores, which GRU4Rec may have (`activate`), comes before all of it.

Means are those of the 2016 paper's equations: first over the negatives that count of one row
(1 / N_S there), then over rows, so that a row with few negatives weighs as much as any other. A
row without any is left out of the second mean; if that leaves no row, the loss is 0. Gradients
flow through w too, as in the authors' code.

All take positive (P,), negative (P, M) and counted (P, M) bool, and return a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import elu, log_softmax, logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

MASKED = -1e30  # finite: a row of nothing else still has a softmax


def activate(scores: Tensor, activation: str, elu_alpha: float = 1.0) -> Tensor:
    """The scores after tanh or elu, or as they are for none; their order stays the same.

    GRU4Rec of 2016 had tanh, the authors' BPR-max may have elu. It is a part of the loss, since no
    ranking depends on it.
    """
    if activation == "tanh":
        return torch.tanh(scores)
    return elu(scores, elu_alpha) if activation == "elu" else scores


def bpr(positive: Tensor, negative: Tensor, counted: Tensor) -> Tensor:
    """Mean of -log σ(r - r_j)."""
    return _mean(-logsigmoid(positive[:, None] - negative), counted)


def top1(positive: Tensor, negative: Tensor, counted: Tensor) -> Tensor:
    """Mean of σ(r_j - r) + σ(r_j²)."""
    return _mean(_top1(positive, negative), counted)


def hinge(positive: Tensor, negative: Tensor, counted: Tensor) -> Tensor:
    """Mean of max(0, 1 - r + r_j)."""
    return _mean((1.0 - positive[:, None] + negative).clamp(min=0.0), counted)


def bpr_max(
    positive: Tensor, negative: Tensor, counted: Tensor, *, regularization: float = 1.0
) -> Tensor:
    """Mean over rows of -log Σ w σ(r - r_j) + λ Σ w r_j², with λ the `regularization`."""
    log_w = _log_weights(negative, counted)  # (P, M)
    better = torch.logsumexp(log_w + logsigmoid(positive[:, None] - negative), dim=1)  # (P,)
    penalty = (log_w.exp() * negative.square()).sum(1)
    return _mean_of_rows(regularization * penalty - better, counted)


def top1_max(positive: Tensor, negative: Tensor, counted: Tensor) -> Tensor:
    """Mean over rows of Σ w (σ(r_j - r) + σ(r_j²))."""
    weights = _log_weights(negative, counted).exp()
    return _mean_of_rows((weights * _top1(positive, negative)).sum(1), counted)


def _top1(positive: Tensor, negative: Tensor) -> Tensor:
    return torch.sigmoid(negative - positive[:, None]) + torch.sigmoid(negative.square())


def _log_weights(negative: Tensor, counted: Tensor) -> Tensor:
    return log_softmax(negative.masked_fill(~counted, MASKED), dim=1)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean over the values (P, M) that count of each row, then over rows."""
    n = counted.sum(1).clamp(min=1)
    return _mean_of_rows(values.masked_fill(~counted, 0.0).sum(1) / n, counted)


def _mean_of_rows(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of values (P,) over rows with a negative that counts."""
    rows = counted.any(1)
    return values.masked_fill(~rows, 0.0).sum() / rows.sum().clamp(min=1)
