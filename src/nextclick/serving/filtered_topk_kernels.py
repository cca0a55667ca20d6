"""The kernels behind `Best.add` and `sparse_best`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.core.topk_kernels import insert
from nextclick.serving.search.filtered_topk import Best, Filters

if TYPE_CHECKING:
    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array, SparseScores

_CHUNK = 64  # scores whose highest is looked at before each of them is


def sparse_best(
    sparse: SparseScores, base: SortedBase, filters: Filters
) -> list[tuple[Int32Array, Float32Array]]:
    """As `nextclick.serving.search.filtered_topk.sparse_best`."""
    best = Best.empty(filters)
    _sparse_rows(
        sparse.offsets, sparse.items, sparse.values, base.scores, base.best_first, *filters, *best
    )
    return best.lists()


@njit(cache=True, nogil=True)
def _stands_in(item: int, ascending: Int32Array) -> bool:
    at = np.searchsorted(ascending, item)
    return bool(at < len(ascending) and ascending[at] == item)


@njit(cache=True, nogil=True)
def is_hidden(item: int, hides: Int32Array, mask: int, masks: BoolArray) -> bool:
    """Whether a row must not show an item."""
    if mask >= 0 and not masks[mask, item]:
        return True
    return bool(len(hides) and _stands_in(item, hides))


@njit(cache=True, nogil=True)
def _lowest_of_others(base: Float32Array, best_first: Int32Array, listed: Int32Array) -> float:
    """The lowest base score of the items that are not listed."""
    for item in best_first[::-1]:
        if not _stands_in(item, listed):
            return float(base[item])
    return np.inf


# the highest and lowest of a chunk may be taken in any order, so that they use vectors
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _extremes(scores: Float32Array) -> tuple[float, float]:
    low = high = scores[0]
    for score in scores:
        low = min(low, score)
        high = max(high, score)
    return low, high


@njit(cache=True, nogil=True)
def add_block(
    scores: Float32Array,
    first: int,
    k: Int64Array,
    hidden_offsets: Int64Array,
    hidden: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
    items: Int32Array,
    best: Float32Array,
    n: Int64Array,
    lowest: Float32Array,
) -> None:
    """Add (B, W) scores of the items `first` and those after it to the best so far."""
    B, W = scores.shape
    for b in range(B):
        kept, row = best[b, : k[b]], items[b, : k[b]]
        hides = hidden[hidden_offsets[b] : hidden_offsets[b + 1]]
        mask, found = mask_of[b], n[b]
        for start in range(0, W, _CHUNK):
            chunk = scores[b, start : min(start + _CHUNK, W)]
            low, high = _extremes(chunk)
            lowest[b] = min(lowest[b], low)
            if found == k[b] and high < kept[found - 1]:
                continue
            for j in range(len(chunk)):
                if found == k[b] and chunk[j] <= kept[found - 1]:
                    continue  # items come in ascending order, so an equal one is worse
                item = first + start + j
                if not is_hidden(item, hides, mask, masks):
                    found = insert(kept, row, found, chunk[j], item)
        n[b] = found


@njit(cache=True, nogil=True)
def _sparse_rows(
    offsets: Int64Array,
    listed: Int32Array,
    values: Float32Array,
    base: Float32Array,
    best_first: Int32Array,
    k: Int64Array,
    hidden_offsets: Int64Array,
    hidden: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
    items: Int32Array,
    best: Float32Array,
    n: Int64Array,
    lowest: Float32Array,
) -> None:
    for b in range(len(offsets) - 1):
        kept, row = best[b, : k[b]], items[b, : k[b]]
        hides = hidden[hidden_offsets[b] : hidden_offsets[b + 1]]
        mask, found = mask_of[b], 0
        own = listed[offsets[b] : offsets[b + 1]]
        worth = values[offsets[b] : offsets[b + 1]]
        known = np.sort(own)
        for j in range(len(own)):
            lowest[b] = min(lowest[b], worth[j])
            if found == k[b] and worth[j] < kept[found - 1]:
                continue
            if not is_hidden(own[j], hides, mask, masks):
                found = insert(kept, row, found, worth[j], own[j])
        lowest[b] = min(lowest[b], _lowest_of_others(base, best_first, known))
        for item in best_first:
            if base[item] <= lowest[b] or (found == k[b] and base[item] < kept[found - 1]):
                break
            if not _stands_in(item, known) and not is_hidden(item, hides, mask, masks):
                found = insert(kept, row, found, base[item], item)
        n[b] = found
