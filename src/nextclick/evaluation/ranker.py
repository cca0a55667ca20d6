"""Ranks and lists of a scorer, block by block, in the form that the scorer has to offer."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from nextclick.core.topk import SortedBase, dense_top, sparse_top
from nextclick.core.types import SparseScorer
from nextclick.errors import ScoringError
from nextclick.evaluation.ranks import check_sparse, dense_ranks, sparse_ranks
from nextclick.models.base import Model

if TYPE_CHECKING:
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import Float64Array, Int32Array, Scorer
    from nextclick.evaluation.ranks import Ties

_BYTES_PER_SCORE = 4
_BYTES_PER_LISTED = 8  # an item and its value
_LISTED_AT_MOST = 4096  # items that a sparse scorer is taken to list for a row


class Ranker:
    """Asks a scorer for scores and ranks the targets among them.

    Attributes:
        scoring: seconds spent in the scorer.
        ranking: seconds spent on its scores.
    """

    def __init__(self, scorer: Scorer, *, ties: Ties, list_length: int) -> None:
        """Prepare for blocks.

        Args:
            scorer: gives sparse scores if it can, otherwise rows of N + 1.
            ties: as in `dense_ranks`.
            list_length: how many recommended items are wanted for a row.
        """
        self._scorer = scorer
        self._sparse = sparse_scorer(scorer)
        self._ties = ties
        self._list_length = list_length
        self._base: SortedBase | None = None
        self._n_rows = 0
        self.scoring = 0.0
        self.ranking = 0.0

    def rows_within(self, n_bytes: int) -> int:
        """How many rows of scores fit into that memory, at least one."""
        n_items = self._scorer.n_items
        if self._sparse is not None:
            return max(n_bytes // (_BYTES_PER_LISTED * min(n_items, _LISTED_AT_MOST)), 1)
        return max(n_bytes // (_BYTES_PER_SCORE * (n_items + 1)), 1)

    def rank(self, batch: SessionBatch, targets: Int32Array) -> tuple[Float64Array, Int32Array]:
        """Return (B,) ranks of the targets and (B, list_length) recommended items.

        Raises:
            ScoringError: scores that cannot be ranked; rows count from the first block on.
        """
        if self._sparse is not None:
            answer = self._rank_sparse(self._sparse, batch, targets)
        else:
            answer = self._rank_dense(batch, targets)
        self._n_rows += len(batch)
        return answer

    def _rank_dense(
        self, batch: SessionBatch, targets: Int32Array
    ) -> tuple[Float64Array, Int32Array]:
        began = perf_counter()
        scores = self._scorer.score(batch)  # (B, N + 1)
        scored = perf_counter()
        expected = (len(batch), self._scorer.n_items + 1)
        if scores.shape != expected:
            raise ScoringError(f"expected scores of shape {expected}, got {scores.shape}")
        ranks = dense_ranks(scores, targets, ties=self._ties, first_row=self._n_rows)
        lists = dense_top(scores, self._list_length)
        self._took(began, scored)
        return ranks, lists

    def _rank_sparse(
        self, scorer: SparseScorer, batch: SessionBatch, targets: Int32Array
    ) -> tuple[Float64Array, Int32Array]:
        began = perf_counter()
        scores = scorer.score_sparse(batch)
        scored = perf_counter()
        check_sparse(scores, len(batch), scorer.n_items, first_row=self._n_rows)
        if self._base is None or not self._base.fits(scores.base):
            self._base = SortedBase.of(scores.base)
        ranks = sparse_ranks(scores, targets, self._base, ties=self._ties, first_row=self._n_rows)
        lists = sparse_top(scores, self._base, self._list_length)
        self._took(began, scored)
        return ranks, lists

    def _took(self, began: float, scored: float) -> None:
        self.scoring += scored - began
        self.ranking += perf_counter() - scored


def sparse_scorer(scorer: Scorer) -> SparseScorer | None:
    """The scorer, if it gives sparse scores: a model that declares it, or any other that can."""
    if isinstance(scorer, Model):
        return scorer if scorer.capabilities.sparse_scores else None
    return scorer if isinstance(scorer, SparseScorer) else None
