"""The best items of a request, of those that may be shown: kernels.

The rule is that of `nextclick.core.topk`: an item is recommended if some item of the row, shown or not,
has a lower score; of equal scores the lower index comes first. What differs is that each row has a
K and a filter of its own, and that scores come block by block, so that no row of N scores is kept.
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
    from nextclick.serving.request import Wish

_CHUNK = 64  # scores whose highest is looked at before each of them is
_NO_MASK = np.zeros((0, 0), dtype=np.bool_)


class Filters(NamedTuple):
    """What may be shown in B rows.

    Attributes:
        k: (B,) int64, how many.
        hidden_offsets: (B + 1,) int64; row b hides hidden[hidden_offsets[b]:hidden_offsets[b + 1]].
        hidden: int32, the items that a row hides, ascending in each row.
        mask_of: (B,) int64, which row of `masks` says what may be shown; -1 for all items.
        masks: (M, N + 1) bool.
    """

    k: Int64Array
    hidden_offsets: Int64Array
    hidden: Int32Array
    mask_of: Int64Array
    masks: BoolArray

    @classmethod
    def of(cls, wishes: Sequence[Wish]) -> Filters:
        """Those of the requests of a batch."""
        offsets = np.zeros(len(wishes) + 1, dtype=np.int64)
        np.cumsum([len(wish.hidden) for wish in wishes], out=offsets[1:])
        masks = [wish.shown for wish in wishes if wish.shown is not None]
        mask_of = np.full(len(wishes), -1, dtype=np.int64)
        mask_of[[b for b, wish in enumerate(wishes) if wish.shown is not None]] = range(len(masks))
        return cls(
            k=np.array([wish.k for wish in wishes], dtype=np.int64),
            hidden_offsets=offsets,
            hidden=np.concatenate([np.empty(0, np.int32), *(wish.hidden for wish in wishes)]),
            mask_of=mask_of,
            masks=np.stack(masks) if masks else _NO_MASK,
        )


class Best(NamedTuple):
    """The best of B rows so far; `n` of each are filled.

    Attributes:
        items: (B, K) int32, best first, K the largest of all rows.
        scores: (B, K) float32.
        n: (B,) int64.
        lowest: (B,) float32, the lowest score of a row, shown or not.
    """

    items: Int32Array
    scores: Float32Array
    n: Int64Array
    lowest: Float32Array

    @classmethod
    def empty(cls, filters: Filters) -> Best:
        """Nothing seen yet."""
        B, K = len(filters.k), int(filters.k.max(initial=0))
        return cls(
            np.zeros((B, K), dtype=np.int32),
            np.zeros((B, K), dtype=np.float32),
            np.zeros(B, dtype=np.int64),
            np.full(B, np.inf, dtype=np.float32),
        )

    def add(self, scores: Float32Array, first: int, filters: Filters) -> None:
        """Look at (B, W) scores of the items `first` and those after it."""
        _add_block(scores, first, *filters, *self)

    def lists(self) -> list[tuple[Int32Array, Float32Array]]:
        """The recommended items of each row with their scores, best first."""
        found = []
        for items, scores, n, lowest in zip(*self, strict=True):
            kept = int((scores[:n] > lowest).sum())  # scores fall, so these are the first ones
            found.append((items[:kept], scores[:kept]))
        return found


def sparse_best(
    sparse: SparseScores, base: SortedBase, filters: Filters
) -> list[tuple[Int32Array, Float32Array]]:
    """What `Best.lists` gives for `sparse.dense()`, without a row of N scores."""
    best = Best.empty(filters)
    _sparse_rows(
        sparse.offsets, sparse.items, sparse.values, base.scores, base.best_first, *filters, *best
    )
    return best.lists()


def fill(best_first: Int32Array, chosen: Int32Array, wish: Wish) -> Int32Array:
    """(n,) the first items of `best_first` that may be shown and are not chosen, to make k."""
    mask = np.zeros(0, np.bool_) if wish.shown is None else wish.shown
    return _fill(best_first, np.sort(chosen), wish.hidden, mask, wish.k - len(chosen))


@numba.njit(cache=True, nogil=True)
def _stands_in(item: int, ascending: Int32Array) -> bool:
    at = np.searchsorted(ascending, item)
    return bool(at < len(ascending) and ascending[at] == item)


@numba.njit(cache=True, nogil=True)
def _is_hidden(item: int, hides: Int32Array, mask: int, masks: BoolArray) -> bool:
    if mask >= 0 and not masks[mask, item]:
        return True
    return bool(len(hides) and _stands_in(item, hides))


@numba.njit(cache=True, nogil=True)
def _lowest_of_others(base: Float32Array, best_first: Int32Array, listed: Int32Array) -> float:
    """The lowest base score of the items that are not listed."""
    for item in best_first[::-1]:
        if not _stands_in(item, listed):
            return float(base[item])
    return np.inf


# the highest and lowest of a chunk may be taken in any order, so that they use vectors
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
    hidden_offsets: Int64Array,
    hidden: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
    items: Int32Array,
    best: Float32Array,
    n: Int64Array,
    lowest: Float32Array,
) -> None:
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
                if not _is_hidden(item, hides, mask, masks):
                    found = _insert(kept, row, found, chunk[j], item)
        n[b] = found


@numba.njit(cache=True, nogil=True)
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
            if not _is_hidden(own[j], hides, mask, masks):
                found = _insert(kept, row, found, worth[j], own[j])
        lowest[b] = min(lowest[b], _lowest_of_others(base, best_first, known))
        for item in best_first:
            if base[item] <= lowest[b] or (found == k[b] and base[item] < kept[found - 1]):
                break
            if not _stands_in(item, known) and not _is_hidden(item, hides, mask, masks):
                found = _insert(kept, row, found, base[item], item)
        n[b] = found


@numba.njit(cache=True, nogil=True)
def _fill(
    best_first: Int32Array, chosen: Int32Array, hidden: Int32Array, mask: BoolArray, n: int
) -> Int32Array:
    found = np.empty(n, np.int32)
    size = 0
    for item in best_first:
        if size == n:
            break
        if len(mask) and not mask[item]:
            continue
        if _stands_in(item, chosen) or _stands_in(item, hidden):
            continue
        found[size] = item
        size += 1
    return found[:size]
