"""Top-k selection with a candidate filter for each row.

The rule of `nextclick.core.topk` applies: an item is recommended only if another item of the row,
allowed or not, has a lower score; equal scores are ordered by index. In addition each row has its
own K and filter, and scores arrive in blocks, so a row of N scores is never stored.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from nextclick.core.compiled_above import compiled_above

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array, SparseScores

NO_MASK = np.zeros((0, 0), dtype=np.bool_)
_NO_ITEM = np.empty(0, dtype=np.int32)


class FilteredRequest(Protocol):
    """A request for the best items of one row, with a filter."""

    @property
    def k(self) -> int:
        """Number of items to select."""
        ...

    @property
    def excluded(self) -> Int32Array:
        """Items that must not be selected, ascending."""
        ...

    @property
    def allowed(self) -> BoolArray | None:
        """(N + 1,) bool, items that may be selected; None allows all."""
        ...


class CandidateFilter(NamedTuple):
    """The candidate items of B rows.

    Attributes:
        k: (B,) int64, number of items to select.
        excluded_offsets: (B + 1,) int64; row b excludes
            excluded[excluded_offsets[b]:excluded_offsets[b + 1]].
        excluded: int32, excluded items, ascending within a row.
        mask_of: (B,) int64, the row of `masks` that holds the allowed items; -1 allows all.
        masks: (M, N + 1) bool.
    """

    k: Int64Array
    excluded_offsets: Int64Array
    excluded: Int32Array
    mask_of: Int64Array
    masks: BoolArray

    @classmethod
    def of(cls, requests: Sequence[FilteredRequest]) -> CandidateFilter:
        """The candidates of a batch of requests."""
        ends = accumulate((len(request.excluded) for request in requests), initial=0)
        masks = [request.allowed for request in requests if request.allowed is not None]
        mask_of = np.full(len(requests), -1, dtype=np.int64)
        if masks:
            filtered = [b for b, request in enumerate(requests) if request.allowed is not None]
            mask_of[filtered] = range(len(masks))
        excluded = [request.excluded for request in requests]
        return cls(
            k=np.array([request.k for request in requests], dtype=np.int64),
            excluded_offsets=np.array(list(ends), dtype=np.int64),
            excluded=excluded[0] if len(excluded) == 1 else np.concatenate([_NO_ITEM, *excluded]),
            mask_of=mask_of,
            masks=np.stack(masks) if masks else NO_MASK,
        )


class TopK(NamedTuple):
    """The best items of B rows so far.

    Attributes:
        items: (B, K) int32, best first; K is the largest of all rows.
        scores: (B, K) float32.
        n: (B,) int64, number of selected items.
        lowest: (B,) float32, the lowest score of a row, allowed or not.
    """

    items: Int32Array
    scores: Float32Array
    n: Int64Array
    lowest: Float32Array

    @classmethod
    def empty(cls, candidates: CandidateFilter) -> TopK:
        """Start with no item."""
        B, K = len(candidates.k), int(candidates.k.max(initial=0))
        return cls(
            np.zeros((B, K), dtype=np.int32),
            np.zeros((B, K), dtype=np.float32),
            np.zeros(B, dtype=np.int64),
            np.full(B, np.inf, dtype=np.float32),
        )

    def add(self, scores: Float32Array, first: int, candidates: CandidateFilter) -> None:
        """Add (B, W) scores of the items first..first + W - 1."""
        from nextclick.core.filtered_topk_kernels import add_block

        add_block(scores, first, *candidates, *self)

    def lists(self) -> list[tuple[Int32Array, Float32Array]]:
        """The recommended items of each row with their scores, best first."""
        lists = []
        for items, scores, n, lowest in zip(*self, strict=True):
            size = int((scores[:n] > lowest).sum())  # scores descend: these are the first ones
            lists.append((items[:size], scores[:size]))
        return lists


@compiled_above(
    2_000_000,
    kernel="nextclick.core.filtered_topk_kernels:sparse_topk",
    work=lambda sparse, *_: 200 * len(sparse.offsets) + len(sparse.items),
)
def sparse_topk(
    sparse: SparseScores, base: SortedBase, candidates: CandidateFilter
) -> list[tuple[Int32Array, Float32Array]]:
    """Equal to `TopK.lists` for `sparse.dense()`, without a row of N scores."""
    lists = []
    for b, k in enumerate(candidates.k.tolist()):
        own = sparse.items[sparse.offsets[b] : sparse.offsets[b + 1]]
        own_values = sparse.values[sparse.offsets[b] : sparse.offsets[b + 1]]
        start, end = candidates.excluded_offsets[b : b + 2]
        excluded = candidates.excluded[start:end]
        mask = candidates.masks[candidates.mask_of[b]] if candidates.mask_of[b] >= 0 else None
        lowest_other = _first_allowed(base.best_first[::-1], own, None, 1)
        lowest = min(own_values.min(initial=np.inf), base.scores[lowest_other].min(initial=np.inf))
        others = _first_allowed(base.best_first, np.concatenate([own, excluded]), mask, k)
        allowed = ~np.isin(own, excluded)
        if mask is not None:
            allowed &= mask[own]
        items = np.concatenate([own[allowed], others])
        scores = np.concatenate([own_values[allowed], base.scores[others]])
        best = np.lexsort((items, -scores))[:k]
        best = best[scores[best] > lowest]
        lists.append((items[best], scores[best]))
    return lists


def fill_from_popular(
    best_first: Int32Array, chosen: Int32Array, request: FilteredRequest
) -> Int32Array:
    """(n,) the first allowed items of `best_first` that are not chosen, to complete k."""
    excluded = np.concatenate([chosen, request.excluded])
    return _first_allowed(best_first, excluded, request.allowed, request.k - len(chosen))


def _first_allowed(
    order: Int32Array, excluded: Int32Array, mask: BoolArray | None, n: int
) -> Int32Array:
    """The first n items of `order` that are not excluded and that the mask, if any, allows."""
    size = n + len(excluded)
    while True:
        first = order[:size]
        allowed = ~np.isin(first, excluded)
        if mask is not None:
            allowed &= mask[first]
        if size >= len(order) or np.count_nonzero(allowed) >= n:
            return first[allowed][:n]
        size *= 4  # the mask allows few items
