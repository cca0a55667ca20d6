"""The best items of each session in the order of a member, and their scores above the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.filtered_topk import NO_MASK, CandidateFilter, TopK, sparse_topk
from nextclick.core.topk import SortedBase
from nextclick.core.types import Float32Array, Int32Array, Int64Array, SparseScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array


class TopLists(NamedTuple):
    """The lists of B sessions by one member.

    Attributes:
        offsets: (B + 1,) int64; the list of session b is `offsets[b]..offsets[b + 1] - 1`.
        items: (J,) int32, best first in each list; a list has each item at most once.
        scores: (J,) float32.
    """

    offsets: Int64Array
    items: Int32Array
    scores: Float32Array

    @classmethod
    def join(cls, lists: Sequence[tuple[Int32Array, Float32Array]]) -> Self:
        """Join one list of items and scores for each session."""
        if len(lists) == 1:  # without the copies: a server answers one session at a time
            return cls(np.array([0, len(lists[0][0])]), *lists[0])
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(items) for items, _ in lists], out=offsets[1:])
        return cls(
            offsets,
            np.concatenate([np.empty(0, np.int32), *(items for items, _ in lists)]),
            np.concatenate([np.empty(0, np.float32), *(scores for _, scores in lists)]),
        )

    def above_zero(self) -> Self:
        """The lists without items that have no votes, such as hidden items of the session."""
        keep = self.scores > 0.0
        kept_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])
        return type(self)(kept_before[self.offsets], self.items[keep], self.scores[keep])

    def log_ratios(self, *, votes: bool) -> Float64Array:
        """(J,) log(p / p of the last item of the list), at least 0.

        p is the share of an item in the list: its score over the sum of the scores for votes, the
        softmax of the scores otherwise. The sum cancels in the ratio.

        Args:
            votes: whether the scores are votes or counts, which are above 0; see `above_zero`.
        """
        logits = self.scores.astype(np.float64)
        if votes:
            logits = np.log(logits)
        lengths = np.diff(self.offsets)
        last = logits[np.maximum(self.offsets[1:] - 1, 0)] if len(logits) else np.zeros(0)
        return logits - np.repeat(last, lengths) if len(logits) else logits


def top_lists(
    scores: SparseScores | Float32Array, n: int, base: SortedBase | None = None
) -> TopLists:
    """The n best items of each row of scores; see `nextclick.core.topk` for ties.

    Args:
        scores: of B sessions, sparse or (B, N + 1).
        n: length of the lists, at most N; a list is shorter if fewer items score above the lowest.
        base: the base of sparse scores, sorted; None sorts it.
    """
    B = len(scores.offsets) - 1 if isinstance(scores, SparseScores) else len(scores)
    unfiltered = CandidateFilter(
        k=np.full(B, n, dtype=np.int64),
        excluded_offsets=np.zeros(B + 1, dtype=np.int64),
        excluded=np.empty(0, dtype=np.int32),
        mask_of=np.full(B, -1, dtype=np.int64),
        masks=NO_MASK,
    )
    if isinstance(scores, SparseScores):
        base = base or SortedBase.from_scores(scores.base)
        return TopLists.join(sparse_topk(scores, base, unfiltered))
    top = TopK.empty(unfiltered)
    top.add(scores[:, 1:], 1, unfiltered)
    return TopLists.join(top.lists())
