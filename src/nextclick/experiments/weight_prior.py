"""The prior of the weights of a blend, which matters if few prefixes fit them.

With C choices the weights w minimize L(w) + (ε/2) ‖w - c‖², where c ranks as the best member does:
weight 1 for its score, -1 if its list lacks the item, 0 for all other features. The precision εC is
that of a normal distribution of the weights, 5 for a handful of choices, and falls to 0 for 2,000
choices and more, whose weights need no prior.

The precision was chosen on validation parts: on five logs of 1,000 and 2,500 prefixes, cut from the
training sessions of a week of Yoochoose, with 27 to 104 choices on average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.evaluation.ranking_metrics import per_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array

_PRECISION, _ENOUGH_CHOICES = 5.0, 2_000


def with_prior(
    l2: float, n_choices: int, n_features: int, member_ranks: Sequence[Float64Array], k: int
) -> tuple[float, Float64Array]:
    """λ' and c' (F,) of the penalty (λ'/2) ‖w - c'‖², which is that of λ and that of the prior.

    Args:
        l2: λ.
        n_choices: C.
        n_features: F.
        member_ranks: for each member the ranks of the targets.
        k: the best member has the highest sum of Recall@k and MRR@k.
    """
    center = np.zeros(n_features)
    precision = _PRECISION * max(1.0 - n_choices / _ENOUGH_CHOICES, 0.0) / max(n_choices, 1)
    if precision == 0.0:
        return l2, center
    best = int(np.argmax([_accuracy(ranks, k) for ranks in member_ranks]))
    total = l2 + precision
    center[2 * best], center[2 * best + 1] = precision / total, -precision / total
    return total, center


def _accuracy(ranks: Float64Array, k: int) -> float:
    metrics = per_prefix(ranks, [k])
    return float(metrics[f"recall@{k}"].mean() + metrics[f"mrr@{k}"].mean())
