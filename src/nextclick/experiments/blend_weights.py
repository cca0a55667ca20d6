"""Fit the weights of a blend on validation prefixes, and measure them by cross-fitting.

Cross-fitting: the sessions are halved at random, the weights of each half are judged on the other
one, and the metrics of all prefixes are averaged. The weights of the blend are then fitted on all
prefixes. The members are measured on the same prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.batches.prefixes import count_samples, prefix_blocks
from nextclick.core.topk import SortedBase
from nextclick.core.types import SparseScores
from nextclick.errors import TrainingError
from nextclick.evaluation.ranking_metrics import per_prefix
from nextclick.evaluation.ranks import dense_ranks, sparse_ranks
from nextclick.experiments.weight_prior import with_prior
from nextclick.models.blended.candidate_features import log_total, used_features
from nextclick.models.blended.conditional_logit import Choices, fit_conditional_logit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import (
        BoolArray,
        Float32Array,
        Float64Array,
        Int32Array,
        Int64Array,
        Progress,
    )
    from nextclick.evaluation import RankingProtocol
    from nextclick.models.blended.blend import Blend

REPORTED_K = 20
_ROWS_PER_BLOCK, _CELLS_PER_BLOCK = 1 << 14, 1 << 18
_SCORES_PER_BLOCK = 6 << 20
_SAMPLE, _HALVES = 1, 2  # streams of random numbers


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPrefixes:
    """Validation prefixes with their candidates.

    Attributes:
        targets: (P,) int32, 0 for a target that the members have not seen in training.
        session: (P,) int64.
        offsets: (P + 1,) int64, the candidates of each prefix.
        items: (J,) int32, candidates.
        features: (J, F) float32, of the features that have a weight.
        chosen: (P,) int64, the candidate that is the target, -1 if none is.
        member_ranks: for each member the ranks (P,) of the targets.
    """

    targets: Int32Array
    session: Int64Array
    offsets: Int64Array
    items: Int32Array
    features: Float32Array
    chosen: Int64Array
    member_ranks: list[Float64Array]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def skipped(self) -> float:
        """The share of prefixes whose target is no candidate."""
        return float(np.mean(self.chosen < 0)) if len(self) else 0.0

    def fit(self, rows: BoolArray, l2: float, k: int) -> Float64Array:
        """(F,) weights of the prefixes `rows` (P,) whose target is a candidate.

        Args:
            rows: which prefixes.
            l2: weight of the squared weights.
            k: cut-off that selects the best member for the prior; see `weight_prior`.

        Raises:
            TrainingError: there is no such prefix.
        """
        fitted = np.flatnonzero(rows & (self.chosen >= 0))
        choices = Choices(self.offsets, self.features, np.maximum(self.chosen, 0)).take(fitted)
        ranks = [own[rows] for own in self.member_ranks]
        l2, center = with_prior(l2, len(choices), self.features.shape[1], ranks, k)
        return fit_conditional_logit(choices, l2, center)


@dataclass(frozen=True, slots=True, eq=False)
class FittedWeights:
    """The weights of a blend, and how they were found.

    Attributes:
        weights: (F,) float64; the weight of a feature that is not used is 0.
        record: their names, number and share of prefixes, and validation metrics, as JSON values.
    """

    weights: Float64Array
    record: dict[str, Any]


def fit_weights(
    blend: Blend, valid: Sessions, protocol: RankingProtocol, *, progress: Progress
) -> FittedWeights:
    """Fit the weights of a blend whose members have not seen the validation.

    Args:
        blend: its weights are ignored.
        valid: validation sessions; items that the members have not seen are 0.
        protocol: which prefixes are ranked, and how.
        progress: receives the number of scored prefixes.

    Raises:
        TrainingError: no target of the validation is among the candidates.
    """
    prefixes = score_prefixes(blend, valid, protocol, progress=progress)
    used = used_features(len(blend.members), blend.config.features)
    weights = np.zeros(len(blend.feature_names))
    everything = np.ones(len(prefixes), dtype=np.bool_)
    ks = [min(REPORTED_K, blend.n_items)]
    weights[used] = prefixes.fit(everything, blend.config.l2, *ks)
    ranks = _cross_fitted_ranks(blend, prefixes, protocol)
    names = blend.feature_names
    record = {
        "weights": {names[f]: float(weights[f]) for f in used.tolist()},
        "prefixes": len(prefixes),
        "skipped": prefixes.skipped,
        "validation": None if ranks is None else _means(ranks, ks),
        "member_validation": [_means(own, ks) for own in prefixes.member_ranks],
    }
    return FittedWeights(weights, record)


def score_prefixes(
    blend: Blend, valid: Sessions, protocol: RankingProtocol, *, progress: Progress
) -> ScoredPrefixes:
    """The candidates of a random sample of at most `blend.config.prefixes` prefixes.

    The sample does not depend on the seed of the training.

    Raises:
        TrainingError: there is no prefix.
    """
    scorer = _BlockScorer(blend, protocol)
    total = min(count_samples(valid, protocol.mode), blend.config.prefixes)
    blocks: list[ScoredPrefixes] = []
    done = 0
    for block in _sampled_blocks(blend, valid, protocol):
        blocks.append(scorer.score(block))
        done += len(block)
        progress("score validation", done, total)
    if not blocks:
        raise TrainingError(
            "the weights of the blend need validation prefixes, got 0; use a longer log, or a "
            "larger share of validation sessions"
        )
    return _joined(blocks)


class _BlockScorer:
    """Scores blocks of prefixes with the members of a blend."""

    def __init__(self, blend: Blend, protocol: RankingProtocol):
        self._blend = blend
        self._ties = protocol.ties
        self._used = used_features(len(blend.members), blend.config.features)

    def score(self, block: PrefixBlock) -> ScoredPrefixes:
        """The candidates of a block."""
        blend, targets = self._blend, block.targets
        scores = blend.member_scores(block.batch)
        ranks = [self._ranks(m, own, targets) for m, own in enumerate(scores)]
        candidates = blend.candidates(blend.lists_of(scores), block.batch)
        return ScoredPrefixes(
            targets=targets,
            session=block.session,
            offsets=candidates.offsets,
            items=candidates.items,
            features=candidates.features[self._used].T.astype(np.float32),
            chosen=_chosen(candidates.offsets, candidates.items, targets, blend.n_items),
            member_ranks=ranks,
        )

    def _ranks(
        self, m: int, scores: SparseScores | Float32Array, targets: Int32Array
    ) -> Float64Array:
        """(B,) ranks of the targets by member m."""
        if not isinstance(scores, SparseScores):
            return dense_ranks(scores, targets, ties=self._ties)
        base = self._blend.member_base(m, scores)
        assert base is not None  # the scores are sparse
        return sparse_ranks(scores, targets, base, ties=self._ties)


def _joined(blocks: Sequence[ScoredPrefixes]) -> ScoredPrefixes:
    starts = np.cumsum([0, *(len(block.items) for block in blocks)])
    ends = [block.offsets[1:] + start for block, start in zip(blocks, starts, strict=False)]
    return ScoredPrefixes(
        targets=np.concatenate([block.targets for block in blocks]),
        session=np.concatenate([block.session for block in blocks]),
        offsets=np.concatenate([starts[:1], *ends]),
        items=np.concatenate([block.items for block in blocks]),
        features=np.concatenate([block.features for block in blocks]),
        chosen=np.concatenate(
            [
                np.where(block.chosen < 0, -1, block.chosen + start)
                for block, start in zip(blocks, starts, strict=False)
            ]
        ),
        member_ranks=[
            np.concatenate(ranks)
            for ranks in zip(*(block.member_ranks for block in blocks), strict=True)
        ],
    )


def _sampled_blocks(
    blend: Blend, valid: Sessions, protocol: RankingProtocol
) -> Iterator[PrefixBlock]:
    """The sampled prefixes with a target to rank and a known click, block by block."""
    total = count_samples(valid, protocol.mode)
    sampled = np.ones(total, dtype=np.bool_)
    if total > blend.config.prefixes:
        order = np.random.default_rng([_SAMPLE, total]).permutation(total)
        sampled[order[blend.config.prefixes :]] = False
    first = 0
    n_rows = max(_SCORES_PER_BLOCK // (blend.n_items + 1), 1)
    for block in prefix_blocks(
        valid,
        mode=protocol.mode,
        max_length=protocol.max_length,
        max_cells=_CELLS_PER_BLOCK,
        n_rows=_ROWS_PER_BLOCK,
        leak_target_time=blend.capabilities.leaky is not None,
        earlier_sessions=blend.capabilities.earlier_sessions,
    ):
        selected = sampled[first : first + len(block)] & (block.position >= protocol.min_prefix)
        first += len(block)
        if protocol.unseen == "drop":
            selected &= block.targets > 0
        rows = np.flatnonzero(selected)
        for start in range(0, len(rows), n_rows):
            scored = np.zeros(len(block), dtype=np.bool_)
            scored[rows[start : start + n_rows]] = True
            yield block.select(scored)


def _chosen(
    offsets: Int64Array, items: Int32Array, targets: Int32Array, n_items: int
) -> Int64Array:
    """(B,) the candidate that is the target of its row, -1 if none is."""
    width = n_items + 1
    rows = np.repeat(np.arange(len(targets)), np.diff(offsets))
    keys = rows * width + items  # ascending
    wanted = np.arange(len(targets)) * width + targets
    position = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    found = keys[position] == wanted if len(keys) else np.zeros(len(targets), np.bool_)
    return np.where(found, position, -1)


def _cross_fitted_ranks(
    blend: Blend, prefixes: ScoredPrefixes, protocol: RankingProtocol
) -> Float64Array | None:
    """(P,) ranks of the targets, each by the weights of the other half of the sessions.

    None if a half has no prefix to fit.
    """
    sessions = int(prefixes.session.max()) + 1
    second = np.random.default_rng([_HALVES, sessions]).permutation(sessions) % 2 == 1
    in_second = second[prefixes.session]
    fitted = prefixes.chosen >= 0
    if not (fitted & in_second).any() or not (fitted & ~in_second).any():
        return None
    base = SortedBase.from_scores(blend.base)
    ranks = np.empty(len(prefixes))
    for half in (in_second, ~in_second):
        weights = prefixes.fit(half, blend.config.l2, min(REPORTED_K, blend.n_items))
        logits = prefixes.features @ weights  # (J,) float64
        totals = log_total(logits, prefixes.offsets)
        values = (logits - np.repeat(totals, np.diff(prefixes.offsets))).astype(np.float32)
        scores = SparseScores(prefixes.offsets, prefixes.items, values, blend.base)
        other = sparse_ranks(scores, prefixes.targets, base, ties=protocol.ties)
        ranks[~half] = other[~half]
    return ranks


def _means(ranks: Float64Array, ks: Sequence[int]) -> dict[str, float]:
    """Recall and MRR at the cut-offs."""
    metrics = per_prefix(ranks, ks)
    return {
        f"{name}@{k}": float(metrics[f"{name}@{k}"].mean())
        for k in ks
        for name in ("recall", "mrr")
    }
