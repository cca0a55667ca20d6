"""Top-k selection with a candidate filter for each row (kernels).

The rule of `nextclick.core.topk` applies: an item is recommended only if another item of the row,
allowed or not, has a lower score; equal scores are ordered by index. In addition each row has its
own K and filter, and scores arrive in blocks, so a row of N scores is never stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

from nextclick.core.topk import _insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array, SparseScores
    from nextclick.serving.request import ResolvedRequest

_CHUNK = 64  # scores; a chunk whose maximum is too low is skipped
NO_MASK = np.zeros((0, 0), dtype=np.bool_)


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
    def of(cls, requests: Sequence[ResolvedRequest]) -> CandidateFilter:
        """The candidates of a batch of requests."""
        offsets = np.zeros(len(requests) + 1, dtype=np.int64)
        np.cumsum([len(request.excluded) for request in requests], out=offsets[1:])
        masks = [request.allowed for request in requests if request.allowed is not None]
        mask_of = np.full(len(requests), -1, dtype=np.int64)
        mask_of[[b for b, request in enumerate(requests) if request.allowed is not None]] = range(
            len(masks)
        )
        return cls(
            k=np.array([request.k for request in requests], dtype=np.int64),
            excluded_offsets=offsets,
            excluded=np.concatenate(
                [np.empty(0, np.int32), *(request.excluded for request in requests)]
            ),
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
        _add_block(scores, first, *candidates, *self)

    def lists(self) -> list[tuple[Int32Array, Float32Array]]:
        """The recommended items of each row with their scores, best first."""
        lists = []
        for items, scores, n, lowest in zip(*self, strict=True):
            size = int((scores[:n] > lowest).sum())  # scores descend: these are the first ones
            lists.append((items[:size], scores[:size]))
        return lists


def sparse_topk(
    sparse: SparseScores, base: SortedBase, candidates: CandidateFilter
) -> list[tuple[Int32Array, Float32Array]]:
    """Equal to `TopK.lists` for `sparse.dense()`, without a row of N scores."""
    top = TopK.empty(candidates)
    _sparse_rows(
        sparse.offsets, sparse.items, sparse.values, base.scores, base.best_first, *candidates, *top
    )
    return top.lists()


def fill_from_popular(
    best_first: Int32Array, chosen: Int32Array, request: ResolvedRequest
) -> Int32Array:
    """(n,) the first allowed items of `best_first` that are not chosen, to complete k."""
    mask = np.zeros(0, np.bool_) if request.allowed is None else request.allowed
    return _fill_from_popular(
        best_first, np.sort(chosen), request.excluded, mask, request.k - len(chosen)
    )


@numba.njit(cache=True, nogil=True)
def _contains(item: int, ascending: Int32Array) -> bool:
    at = np.searchsorted(ascending, item)
    return bool(at < len(ascending) and ascending[at] == item)


@numba.njit(cache=True, nogil=True)
def is_excluded(item: int, excludes: Int32Array, mask: int, masks: BoolArray) -> bool:
    """Whether an item is excluded, or not allowed by a mask; mask -1 allows all."""
    if mask >= 0 and not masks[mask, item]:
        return True
    return bool(len(excludes) and _contains(item, excludes))


@numba.njit(cache=True, nogil=True)
def _lowest_of_others(base: Float32Array, best_first: Int32Array, listed: Int32Array) -> float:
    """The lowest base score of the unlisted items."""
    for item in best_first[::-1]:
        if not _contains(item, listed):
            return float(base[item])
    return np.inf


# the reduction order is free, so the compiler may use vector instructions
@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _extremes(scores: Float32Array) -> tuple[float, float]:
    low = high = scores[0]
    for score in scores:
        low = min(low, score)
        high = max(high, score)
    return low, high


@numba.njit(cache=True, nogil=True)
def _add_block(
    scores: Float32Array,
    first: int,
    k: Int64Array,
    excluded_offsets: Int64Array,
    excluded: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
    items: Int32Array,
    best: Float32Array,
    n: Int64Array,
    lowest: Float32Array,
) -> None:
    B, W = scores.shape
    for b in range(B):
        selected, row = best[b, : k[b]], items[b, : k[b]]
        excludes = excluded[excluded_offsets[b] : excluded_offsets[b + 1]]
        mask, size = mask_of[b], n[b]
        for start in range(0, W, _CHUNK):
            chunk = scores[b, start : min(start + _CHUNK, W)]
            low, high = _extremes(chunk)
            lowest[b] = min(lowest[b], low)
            if size == k[b] and high < selected[size - 1]:
                continue
            for j in range(len(chunk)):
                if size == k[b] and chunk[j] <= selected[size - 1]:
                    continue  # items arrive in ascending order: an equal score ranks lower
                item = first + start + j
                if not is_excluded(item, excludes, mask, masks):
                    size = _insert(selected, row, size, chunk[j], item)
        n[b] = size


@numba.njit(cache=True, nogil=True)
def _sparse_rows(
    offsets: Int64Array,
    listed: Int32Array,
    values: Float32Array,
    base: Float32Array,
    best_first: Int32Array,
    k: Int64Array,
    excluded_offsets: Int64Array,
    excluded: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
    items: Int32Array,
    best: Float32Array,
    n: Int64Array,
    lowest: Float32Array,
) -> None:
    for b in range(len(offsets) - 1):
        selected, row = best[b, : k[b]], items[b, : k[b]]
        excludes = excluded[excluded_offsets[b] : excluded_offsets[b + 1]]
        mask, size = mask_of[b], 0
        own = listed[offsets[b] : offsets[b + 1]]
        own_values = values[offsets[b] : offsets[b + 1]]
        known = np.sort(own)
        for j in range(len(own)):
            lowest[b] = min(lowest[b], own_values[j])
            if size == k[b] and own_values[j] < selected[size - 1]:
                continue
            if not is_excluded(own[j], excludes, mask, masks):
                size = _insert(selected, row, size, own_values[j], own[j])
        lowest[b] = min(lowest[b], _lowest_of_others(base, best_first, known))
        for item in best_first:
            if base[item] <= lowest[b] or (size == k[b] and base[item] < selected[size - 1]):
                break
            if not _contains(item, known) and not is_excluded(item, excludes, mask, masks):
                size = _insert(selected, row, size, base[item], item)
        n[b] = size


@numba.njit(cache=True, nogil=True)
def _fill_from_popular(
    best_first: Int32Array, chosen: Int32Array, excluded: Int32Array, mask: BoolArray, n: int
) -> Int32Array:
    popular = np.empty(n, np.int32)
    size = 0
    for item in best_first:
        if size == n:
            break
        if len(mask) and not mask[item]:
            continue
        if _contains(item, chosen) or _contains(item, excluded):
            continue
        popular[size] = item
        size += 1
    return popular[:size]
