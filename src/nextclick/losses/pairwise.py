"""Pairwise losses of a target's score r and its negatives' scores r_j.

Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, section
3.2.3 (BPR, TOP1); Hidasi & Karatzoglou, Recurrent Neural Networks with Top-k Gains for
Session-based Recommendations, CIKM 2018, section 3 (TOP1-max, BPR-max); hinge as in Spotlight and
ASARS. With w = softmax of the r_j, over the negatives only:

    bpr        mean_j  -log σ(r - r_j)
    top1       mean_j  σ(r_j - r) + σ(r_j²)
    hinge      mean_j  max(0, 1 - r + r_j)
    bpr-max    -log Σ_j w_j σ(r - r_j) + λ Σ_j w_j r_j²
    top1-max   Σ_j w_j (σ(r_j - r) + σ(r_j²))

The optional activation of GRU4Rec's scores (`activate`) is applied before the loss.

Means follow the 2016 paper's equations: first over the valid negatives of a row (1 / N_S there),
then over rows. Rows have equal weight, whatever their number of negatives. A row without a valid
negative is omitted from the second mean; without any row the loss is 0. Gradients also flow
through w, as in the authors' code.

All functions take positive (P,), negative (P, M) and valid (P, M) bool, and return a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import elu, log_softmax, logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

MASKED = -1e30  # finite, so that a row without a valid negative has a softmax


def activate(scores: Tensor, activation: str, elu_alpha: float = 1.0) -> Tensor:
    """Apply tanh, elu or no activation to the scores.

    GRU4Rec of 2016 uses tanh, the authors' BPR-max optionally elu. Both are monotonic, so the
    activation is part of the loss and not of the scores that are ranked.
    """
    if activation == "tanh":
        return torch.tanh(scores)
    return elu(scores, elu_alpha) if activation == "elu" else scores


def bpr(positive: Tensor, negative: Tensor, valid: Tensor) -> Tensor:
    """Mean of -log σ(r - r_j)."""
    return _mean(-logsigmoid(positive[:, None] - negative), valid)


def top1(positive: Tensor, negative: Tensor, valid: Tensor) -> Tensor:
    """Mean of σ(r_j - r) + σ(r_j²)."""
    return _mean(_top1(positive, negative), valid)


def hinge(positive: Tensor, negative: Tensor, valid: Tensor) -> Tensor:
    """Mean of max(0, 1 - r + r_j)."""
    return _mean((1.0 - positive[:, None] + negative).clamp(min=0.0), valid)


def bpr_max(
    positive: Tensor, negative: Tensor, valid: Tensor, *, regularization: float = 1.0
) -> Tensor:
    """Mean over rows of -log Σ w σ(r - r_j) + λ Σ w r_j², with λ the `regularization`."""
    log_w = _log_weights(negative, valid)  # (P, M)
    log_sum = torch.logsumexp(log_w + logsigmoid(positive[:, None] - negative), dim=1)  # (P,)
    penalty = (log_w.exp() * negative.square()).sum(1)
    return _mean_of_rows(regularization * penalty - log_sum, valid)


def top1_max(positive: Tensor, negative: Tensor, valid: Tensor) -> Tensor:
    """Mean over rows of Σ w (σ(r_j - r) + σ(r_j²))."""
    weights = _log_weights(negative, valid).exp()
    return _mean_of_rows((weights * _top1(positive, negative)).sum(1), valid)


def _top1(positive: Tensor, negative: Tensor) -> Tensor:
    return torch.sigmoid(negative - positive[:, None]) + torch.sigmoid(negative.square())


def _log_weights(negative: Tensor, valid: Tensor) -> Tensor:
    return log_softmax(negative.masked_fill(~valid, MASKED), dim=1)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid values (P, M) of each row, then over rows."""
    n = valid.sum(1).clamp(min=1)
    return _mean_of_rows(values.masked_fill(~valid, 0.0).sum(1) / n, valid)


def _mean_of_rows(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of values (P,) over rows with a valid negative."""
    rows = valid.any(1)
    return values.masked_fill(~rows, 0.0).sum() / rows.sum().clamp(min=1)
