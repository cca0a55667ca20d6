"""The kernels behind `filtered_topk`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from nextclick.core.filtered_topk import CandidateFilter, TopK
from nextclick.core.topk_kernels import insert

if TYPE_CHECKING:
    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array, SparseScores

_CHUNK = 64  # scores; a chunk whose maximum is too low is skipped


def sparse_topk(
    sparse: SparseScores, base: SortedBase, candidates: CandidateFilter
) -> list[tuple[Int32Array, Float32Array]]:
    """Equal to `nextclick.core.filtered_topk.sparse_topk`."""
    top = TopK.empty(candidates)
    _sparse_rows(
        sparse.offsets, sparse.items, sparse.values, base.scores, base.best_first, *candidates, *top
    )
    return top.lists()


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
def add_block(
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
    """Add (B, W) scores of the items first..first + W - 1 to the best items so far."""
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
                    size = insert(selected, row, size, chunk[j], item)
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
                size = insert(selected, row, size, own_values[j], own[j])
        lowest[b] = min(lowest[b], _lowest_of_others(base, best_first, known))
        for item in best_first:
            if base[item] <= lowest[b] or (size == k[b] and base[item] < selected[size - 1]):
                break
            if not _contains(item, known) and not is_excluded(item, excludes, mask, masks):
                size = insert(selected, row, size, base[item], item)
        n[b] = size
