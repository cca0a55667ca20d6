"""Cross entropy against a sample of the catalog.

The sum over the catalog in the softmax's denominator is estimated from candidates j of which one
expects c_j in the pool:

    Σ_{j ≠ t} exp z_j  ≈  Σ_{j in pool, j ≠ t} exp(z_j - log c_j)
    loss = log(exp z_t + Σ_{j in pool, j ≠ t} exp(z_j - log c_j)) - z_t

Both sides of the first line agree in expectation (importance sampling: Bengio & Senécal, Adaptive
Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model, IEEE Trans.
Neural Networks 19(4), 2008, equation 15), so that loss and gradients approach those of the full
softmax as the pool grows. A candidate that is the row's target is left out, since z_t is already
in the sum. Of M items drawn with probabilities q one expects M q_j; of the other P - 1 targets of
a batch, which come with the probabilities p of the log, (P - 1) p_j; of both together the sum of
the two.

`correct_target` takes log c_t from z_t as well, as do Yi et al. (Sampling-Bias-Corrected Neural
Modeling for Large Corpus Item Recommendations, RecSys 2019, equation 4): right as long as c_t is
small, that is as long as the target could as well not have been drawn. The code of GRU4Rec does
something near that: it takes log(clicks of j) off the targets of the batch, a row's own among
them, and α log(clicks of j) off the draws, and leaves a drawn target in the sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

from nextclick.losses.candidates import score_candidates

if TYPE_CHECKING:
    from torch import Tensor

MASKED = -1e30  # finite: a row of nothing else still has a logarithm and a gradient, both 0


def sampled_softmax(
    query: Tensor,
    table: Tensor,
    targets: Tensor,
    negatives: Tensor | None,
    *,
    bias: Tensor | None = None,
    log_q: Tensor | None = None,
    log_p: Tensor | None = None,
    in_batch: bool = False,
    correct_target: bool = False,
    counted: Tensor | None = None,
    sparse: bool = False,
) -> Tensor:
    """Return the mean cross entropy of the targets against their negatives.

    Args:
        query: (P, D).
        table: (N + 1, D); only the rows of targets and negatives get a gradient.
        targets: (P,) int64 in 1..N.
        negatives: (M,) int64 shared by all rows or (P, M); None with `in_batch` alone.
        bias: (N + 1,), or None.
        log_q: (N + 1,) log probability with which each negative was drawn
            (`NegativeSampler.log_q`); None corrects nothing.
        log_p: (N + 1,) log probability of each item as a target (`NegativeSampler.log_q` at
            alpha 1), for the negatives of the batch; None where there are none or with `log_q`
            None.
        in_batch: the other targets of the batch are negatives too.
        correct_target: see above.
        counted: (P, M) bool, False where a negative must not count.
        sparse: give `table` and `bias` sparse gradients.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: shapes that do not fit, or one of `log_q` and `log_p` without the other where
            both sources of negatives are used.
    """
    found = score_candidates(
        query, table, targets, negatives,
        bias=bias, in_batch=in_batch, counted=counted, sparse=sparse,
    )  # fmt: skip
    positive, negative = found.positive, found.negative
    sources = _sources(len(targets), negatives, log_q, log_p, in_batch)
    if sources:
        negative = negative - _log_expected(sources, found.items)
        if correct_target:
            positive = positive - _log_expected(sources, targets)
    negative = negative.masked_fill(~found.counted, MASKED)
    return softplus(torch.logsumexp(negative, dim=1) - positive).mean()


def _sources(
    P: int,
    negatives: Tensor | None,
    log_q: Tensor | None,
    log_p: Tensor | None,
    in_batch: bool,
) -> list[tuple[int, Tensor]]:
    """How many negatives come from each source and the (N + 1,) log probabilities there."""
    if log_q is None and log_p is None:
        return []
    sources = []
    if negatives is not None:
        if log_q is None:
            raise ValueError("log_p without log_q: give the log probabilities of the negatives too")
        sources.append((negatives.shape[-1], log_q))
    if in_batch:
        if log_p is None:
            raise ValueError(
                "log_q without log_p: the negatives of the batch come with the probabilities of "
                "targets, give their logarithms too"
            )
        sources.append((P - 1, log_p))
    return sources


def _log_expected(sources: list[tuple[int, Tensor]], items: Tensor) -> Tensor:
    """Log of how often one expects each of `items` in the pool; same shape."""
    logs = [
        log_probability[items] + (math.log(n) if n else -math.inf) for n, log_probability in sources
    ]
    return logs[0] if len(logs) == 1 else torch.logaddexp(logs[0], logs[1])
