"""Ranks of targets and top-K lists of a scorer, from dense or sparse scores."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from nextclick.core.filtered_topk import sparse_topk
from nextclick.core.processes import current
from nextclick.core.topk import SortedBase, dense_top, sparse_top
from nextclick.core.types import SparseScorer
from nextclick.errors import ScoringError
from nextclick.evaluation.masked_scores import filtered_dense_top, pad_lists
from nextclick.evaluation.ranks import check_sparse, dense_ranks, sparse_ranks
from nextclick.evaluation.shown_lists import shown_ranks
from nextclick.models.base import Model

if TYPE_CHECKING:
    from nextclick.core.filtered_topk import CandidateFilter
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import (
        Float32Array,
        Float64Array,
        Int32Array,
        Scorer,
        SparseScores,
    )
    from nextclick.evaluation.ranks import Ties
    from nextclick.evaluation.shown_lists import ShownLists

_BYTES_PER_SCORE = 4
_BYTES_PER_ENTRY = 8  # an item index and its score
_MAX_ENTRIES = 4096  # assumed maximum of entries per row of sparse scores


class Ranked(NamedTuple):
    """The ranks and lists of B prefixes.

    Attributes:
        ranks: (B,) float64, of the targets.
        lists: (B, list_length) int32, recommended items, padded with 0.
        diversity: (B, cutoffs) float64, see `list_diversity`; None if it is not measured.
    """

    ranks: Float64Array
    lists: Int32Array
    diversity: Float64Array | None


class Ranker:
    """Scores blocks of prefixes and ranks their targets.

    Attributes:
        list_length: number of recommended items per row.
        share: number of this process and number of processes among which the blocks are shared.
        scoring: seconds spent on scoring.
        ranking: seconds spent on ranking.
    """

    def __init__(
        self, scorer: Scorer, *, ties: Ties, list_length: int, shown: ShownLists | None = None
    ) -> None:
        """Create a ranker.

        Args:
            scorer: scorer of the prefixes; its sparse scores are used if it has them.
            ties: as in `dense_ranks`.
            list_length: number of recommended items per row.
            shown: forms the lists; None recommends the items with the highest scores.
        """
        self._shown = shown
        self._scorer = scorer
        self._sparse = sparse_scorer(scorer)
        self._ties = ties
        self.list_length = list_length
        self.share = (current().rank, current().size)
        self._base: SortedBase | None = None
        self._n_rows = 0
        self.scoring = 0.0
        self.ranking = 0.0

    def max_rows(self, n_bytes: int) -> int:
        """Number of rows of scores that fit into `n_bytes`, at least one."""
        n_items = self._scorer.n_items
        if self._sparse is not None:
            return max(n_bytes // (_BYTES_PER_ENTRY * min(n_items, _MAX_ENTRIES)), 1)
        return max(n_bytes // (_BYTES_PER_SCORE * (n_items + 1)), 1)

    def rank(
        self,
        batch: SessionBatch,
        targets: Int32Array,
        candidates: CandidateFilter | None = None,
    ) -> Ranked:
        """Rank the targets, and recommend.

        Args:
            batch: B prefixes.
            targets: (B,) int32.
            candidates: items that may be recommended; None is all. Needed if rules form the lists.

        Raises:
            ScoringError: scores cannot be ranked; row numbers in messages count all blocks.
        """
        if self._sparse is not None:
            scores: Float32Array | SparseScores
            ranks, lists, scores = self._rank_sparse(self._sparse, batch, targets, candidates)
        else:
            ranks, lists, scores = self._rank_dense(batch, targets, candidates)
        self._n_rows += len(batch)
        if self._shown is None or candidates is None:
            return Ranked(ranks, lists, None)
        began = perf_counter()
        lists, diversity = self._shown.lists(scores, self._base, candidates, batch)
        self.ranking += perf_counter() - began
        return Ranked(shown_ranks(lists, targets), lists, diversity)

    def _rank_dense(
        self, batch: SessionBatch, targets: Int32Array, candidates: CandidateFilter | None
    ) -> tuple[Float64Array, Int32Array, Float32Array]:
        began = perf_counter()
        scores = self._scorer.score(batch)  # (B, N + 1)
        scored = perf_counter()
        expected = (len(batch), self._scorer.n_items + 1)
        if scores.shape != expected:
            raise ScoringError(f"expected scores of shape {expected}, got {scores.shape}")
        ranks = dense_ranks(
            scores, targets, ties=self._ties, first_row=self._n_rows, candidates=candidates
        )
        if candidates is None:
            lists = dense_top(scores, self.list_length)
        else:
            lists = filtered_dense_top(scores, candidates, self.list_length)
        self._add_times(began, scored)
        return ranks, lists, scores

    def _rank_sparse(
        self,
        scorer: SparseScorer,
        batch: SessionBatch,
        targets: Int32Array,
        candidates: CandidateFilter | None,
    ) -> tuple[Float64Array, Int32Array, SparseScores]:
        began = perf_counter()
        scores = scorer.score_sparse(batch)
        scored = perf_counter()
        check_sparse(scores, len(batch), scorer.n_items, first_row=self._n_rows)
        if self._base is None or not self._base.matches(scores.base):
            self._base = SortedBase.from_scores(scores.base)
        ranks = sparse_ranks(
            scores,
            targets,
            self._base,
            ties=self._ties,
            first_row=self._n_rows,
            candidates=candidates,
        )
        if candidates is None:
            lists = sparse_top(scores, self._base, self.list_length)
        else:
            lists = pad_lists(sparse_topk(scores, self._base, candidates), self.list_length)
        self._add_times(began, scored)
        return ranks, lists, scores

    def _add_times(self, began: float, scored: float) -> None:
        self.scoring += scored - began
        self.ranking += perf_counter() - scored


def sparse_scorer(scorer: Scorer) -> SparseScorer | None:
    """The scorer if it returns sparse scores, else None; a model declares it as a capability."""
    if isinstance(scorer, Model):
        return scorer if scorer.capabilities.sparse_scores else None
    return scorer if isinstance(scorer, SparseScorer) else None
