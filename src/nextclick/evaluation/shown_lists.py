"""The lists of an evaluation whose rules form the list, exactly as a server shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.exploration import exploration_rng
from nextclick.core.filtered_topk import CandidateFilter, TopK, sparse_topk
from nextclick.core.shown_list import ListRules, form_list, list_diversity
from nextclick.core.types import SparseScorer, SparseScores
from nextclick.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.item_rules import ItemRules
    from nextclick.core.item_table import ItemTable
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Float64Array, Int32Array, Scorer
    from nextclick.core.vocabulary import Vocabulary


class _Row(NamedTuple):
    """The filter of one prefix, as a `FilteredRequest`."""

    k: int
    excluded: Int32Array
    allowed: BoolArray | None


class ShownLists:
    """Forms the list of each prefix of a block.

    Args:
        rules: the rules.
        cutoffs: cut-offs K of the diversity, ascending; the last one is the length of the lists.
    """

    def __init__(self, rules: ListRules, cutoffs: Sequence[int]):
        self.rules = rules
        self._cutoffs = cutoffs

    @classmethod
    def of(
        cls,
        rules: ItemRules,
        scorer: Scorer,
        items: Vocabulary | None,
        table: ItemTable | None,
        cutoffs: Sequence[int],
    ) -> Self | None:
        """What forms the lists of a scorer; None if the rules only hide items.

        Raises:
            ConfigError: as `ListRules.of`.
        """
        if not rules.forms_list:
            return None
        if isinstance(scorer, Model):
            logarithmic = scorer.scores_are_logarithmic
            similarity = None if rules.diversity is None else scorer.item_similarity()
        else:
            logarithmic, similarity = not isinstance(scorer, SparseScorer), None
        of_items = ListRules.of(
            rules, items, logarithmic=logarithmic, similarity=similarity, table=table
        )
        return cls(of_items, cutoffs)

    def lists(
        self,
        scores: Float32Array | SparseScores,
        base: SortedBase | None,
        candidates: CandidateFilter,
        batch: SessionBatch,
    ) -> tuple[Int32Array, Float64Array | None]:
        """(B, K) int32 items, 0 without a candidate; (B, cutoffs) diversity, None if not measured.

        Args:
            scores: of B prefixes, (B, N + 1) or sparse.
            base: the sorted base of sparse scores.
            candidates: the candidates of each prefix.
            batch: the prefixes.
        """
        k, rules = self._cutoffs[-1], self.rules
        n_items = len(scores.base if isinstance(scores, SparseScores) else scores[0]) - 1
        allowed = candidates.masks[0] if len(candidates.masks) else None
        B = len(candidates.k)
        size = rules.search_size(k, n_items)
        best = _top(scores, base, candidates._replace(k=np.full(B, size, dtype=np.int64)))
        named = [(np.empty(0, np.int32), np.empty(0, np.float32))] * B
        if len(rules.named):
            only = candidates._replace(
                k=np.full(B, len(rules.named), dtype=np.int64),
                mask_of=np.zeros(B, dtype=np.int64),
                masks=rules.named_only(allowed, n_items)[None, :],
            )
            named = _top(scores, base, only)
        lists = np.zeros((B, k), dtype=np.int32)
        diversity = None if rules.similarity is None else np.full((B, len(self._cutoffs)), np.nan)
        for b in range(B):
            first, end = candidates.excluded_offsets[b : b + 2]
            row = _Row(k, candidates.excluded[first:end], allowed)
            rng = None
            if rules.explore:  # as drawn for a request with the seed
                clicks = batch.items[b, : batch.lengths[b]]
                rng = exploration_rng(rules.seed or 0, clicks)
            shown = form_list(rules, row, best[b], named[b], rng=rng)
            lists[b] = shown.items
            if diversity is not None and shown.similarity is not None:
                diversity[b] = [
                    list_diversity(shown.similarity, cutoff) for cutoff in self._cutoffs
                ]
        return lists, diversity


def shown_ranks(lists: Int32Array, targets: Int32Array) -> Float64Array:
    """(B,) float64, position of each target in its (B, K) list; infinite if it is not shown."""
    found = (lists == targets[:, None]) & (targets > 0)[:, None]  # (B, K)
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)


def _top(
    scores: Float32Array | SparseScores, base: SortedBase | None, candidates: CandidateFilter
) -> list[tuple[Int32Array, Float32Array]]:
    """The best candidates of each row, as a server searches them."""
    if isinstance(scores, SparseScores):
        assert base is not None
        return sparse_topk(scores, base, candidates)
    top = TopK.empty(candidates)
    top.add(scores[:, 1:], 1, candidates)
    return top.lists()
