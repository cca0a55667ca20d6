"""Sampled softmax: cross entropy against a sample of the catalog.

The sum over the catalog in the denominator of the softmax is estimated from a pool of candidates j.
With c_j the expected count of j in the pool:

    Σ_{j ≠ t} exp z_j  ≈  Σ_{j in pool, j ≠ t} exp(z_j - log c_j)
    loss = log(exp z_t + Σ_{j in pool, j ≠ t} exp(z_j - log c_j)) - z_t

Both sides of the first line agree in expectation (importance sampling: Bengio & Senécal, Adaptive
Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model, IEEE Trans.
Neural Networks 19(4), 2008, equation 15). Loss and gradients therefore approach those of the full
softmax as the pool grows. A candidate equal to the row's target is omitted, because z_t is already
in the sum. The expected count is M q_j for M items sampled with probabilities q, and (P - 1) p_j
for the other P - 1 targets of a batch with the probabilities p of the log. With both sources it is
the sum of the two.

`correct_target` subtracts log c_t from z_t as well, as do Yi et al. (Sampling-Bias-Corrected Neural
Modeling for Large Corpus Item Recommendations, RecSys 2019, equation 4). This is correct for a
small c_t. The code of GRU4Rec is similar: it subtracts log(clicks of j) from the targets of the
batch, including the row's own, and α log(clicks of j) from the sampled items, and keeps a sampled
target in the sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding, softplus

from nextclick.losses.additions import add_to_candidates
from nextclick.losses.candidates import score_candidates
from nextclick.losses.checks import check_shapes
from nextclick.losses.shared_negatives import shared_softmax

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.losses.additions import Additions

MASKED = -1e30  # finite, so that a row without a valid negative has loss and gradient 0


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
    batch_targets: Tensor | None = None,
    correct_target: bool = False,
    valid: Tensor | None = None,
    sparse: bool = False,
    additions: Additions | None = None,
) -> Tensor:
    """Return the mean cross entropy of the targets against their negatives.

    Args:
        query: (P, D).
        table: (N + 1, D); only the rows of targets and negatives get a gradient.
        targets: (P,) int64 in 1..N.
        negatives: (M,) int64 shared by all rows or (P, M); None to use `in_batch` only.
        bias: (N + 1,), or None.
        log_q: (N + 1,) log sampling probability of the items (`NegativeSampler.log_q`); None
            applies no correction.
        log_p: (N + 1,) log probability of each item as a target (`NegativeSampler.log_q` at
            alpha 1), for negatives from the batch; None without these, or if `log_q` is None.
        in_batch: use the other targets of the batch as negatives.
        batch_targets: (Q,) targets of the whole batch, see `score_candidates`.
        correct_target: also correct the target's logit, see above.
        valid: (P, M) bool mask of `negatives`; None allows all.
        sparse: give `table` and `bias` sparse gradients.
        additions: values that are added to scores, see `losses.additions`.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: shapes do not match, or only one of `log_q` and `log_p` is given although both
            sources of negatives are used.
    """
    n_targets = len(targets if batch_targets is None else batch_targets)
    sources = _sources(n_targets, negatives, log_q, log_p, in_batch)
    is_plain = valid is None and not in_batch and additions is None
    if is_plain and negatives is not None and negatives.ndim == 1 and len(negatives):
        return _shared_pool(
            query, table, targets, negatives,
            bias=bias, sources=sources, correct_target=correct_target, sparse=sparse,
        )  # fmt: skip
    candidates = score_candidates(
        query, table, targets, negatives,
        bias=bias, in_batch=in_batch, batch_targets=batch_targets, valid=valid, sparse=sparse,
    )  # fmt: skip
    if additions is not None:
        candidates = add_to_candidates(candidates, targets, additions)
    positive, negative = candidates.positive, candidates.negative
    if sources:
        negative = negative - _log_expected_counts(sources, candidates.items)
        if correct_target:
            positive = positive - _log_expected_counts(sources, targets)
    negative = negative.masked_fill(~candidates.valid, MASKED)
    return softplus(torch.logsumexp(negative, dim=1) - positive).mean()


def _shared_pool(
    query: Tensor,
    table: Tensor,
    targets: Tensor,
    negatives: Tensor,
    *,
    bias: Tensor | None,
    sources: list[tuple[int, Tensor]],
    correct_target: bool,
    sparse: bool,
) -> Tensor:
    """The loss for negatives (M,) that all rows share, with `sources` as in `_sources`."""
    check_shapes(query, table, targets, bias)
    P = len(targets)
    gathered = torch.cat([targets, negatives])
    rows = embedding(gathered, table, sparse=sparse)  # (P + M, D)
    offsets = rows.new_zeros(len(gathered))  # added to the logits
    if bias is not None:
        offsets = offsets + bias.gather(0, gathered, sparse_grad=sparse)
    if sources:
        log_counts = _log_expected_counts(sources, gathered)
        log_counts[gathered == 0] = 0.0  # padding, which is omitted
        if not correct_target:
            log_counts[:P] = 0.0
        offsets = offsets - log_counts
    return shared_softmax(query, rows, offsets, targets, negatives)


def _sources(
    P: int,
    negatives: Tensor | None,
    log_q: Tensor | None,
    log_p: Tensor | None,
    in_batch: bool,
) -> list[tuple[int, Tensor]]:
    """Number of negatives of each source, and its (N + 1,) log probabilities."""
    if log_q is None and log_p is None:
        return []
    sources = []
    if negatives is not None:
        if log_q is None:
            raise ValueError(
                "log_p without log_q: pass log_q, the log probabilities of the sampled negatives"
            )
        sources.append((negatives.shape[-1], log_q))
    if in_batch:
        if log_p is None:
            raise ValueError(
                "log_q without log_p: pass log_p, the log probabilities of targets, for the "
                "negatives of the batch"
            )
        sources.append((P - 1, log_p))
    return sources


def _log_expected_counts(sources: list[tuple[int, Tensor]], items: Tensor) -> Tensor:
    """Log of the expected count of each of `items` in the pool; same shape."""
    logs = [
        log_probability[items] + (math.log(n) if n else -math.inf) for n, log_probability in sources
    ]
    return logs[0] if len(logs) == 1 else torch.logaddexp(logs[0], logs[1])
