"""The best items of a request, of those that may be shown.

The rule is that of `nextclick.core.topk`: an item is recommended if some item of the row, shown or not,
has a lower score; of equal scores the lower index comes first. What differs is that each row has a
K and a filter of its own, and that scores come block by block, so that no row of N scores is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.core.compiled_above import compiled_above

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.topk import SortedBase
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array, SparseScores
    from nextclick.serving.request import Wish

NO_MASK = np.zeros((0, 0), dtype=np.bool_)


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
            masks=np.stack(masks) if masks else NO_MASK,
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
        from nextclick.serving.filtered_topk_kernels import add_block

        add_block(scores, first, *filters, *self)

    def lists(self) -> list[tuple[Int32Array, Float32Array]]:
        """The recommended items of each row with their scores, best first."""
        found = []
        for items, scores, n, lowest in zip(*self, strict=True):
            kept = int((scores[:n] > lowest).sum())  # scores fall, so these are the first ones
            found.append((items[:kept], scores[:kept]))
        return found


@compiled_above(
    2_000_000,
    kernel="nextclick.serving.filtered_topk_kernels:sparse_best",
    work=lambda sparse, *_: 200 * len(sparse.offsets) + len(sparse.items),
)
def sparse_best(
    sparse: SparseScores, base: SortedBase, filters: Filters
) -> list[tuple[Int32Array, Float32Array]]:
    """What `Best.lists` gives for `sparse.dense()`, without a row of N scores."""
    found = []
    for b, k in enumerate(filters.k.tolist()):
        own = sparse.items[sparse.offsets[b] : sparse.offsets[b + 1]]
        worth = sparse.values[sparse.offsets[b] : sparse.offsets[b + 1]]
        hidden = filters.hidden[filters.hidden_offsets[b] : filters.hidden_offsets[b + 1]]
        mask = filters.masks[filters.mask_of[b]] if filters.mask_of[b] >= 0 else None
        worst = _first_shown(base.best_first[::-1], own, None, 1)
        lowest = min(worth.min(initial=np.inf), base.scores[worst].min(initial=np.inf))
        others = _first_shown(base.best_first, np.concatenate([own, hidden]), mask, k)
        shown = ~np.isin(own, hidden)
        if mask is not None:
            shown &= mask[own]
        items = np.concatenate([own[shown], others])
        scores = np.concatenate([worth[shown], base.scores[others]])
        best = np.lexsort((items, -scores))[:k]
        best = best[scores[best] > lowest]
        found.append((items[best], scores[best]))
    return found


def fill(best_first: Int32Array, chosen: Int32Array, wish: Wish) -> Int32Array:
    """(n,) the first items of `best_first` that may be shown and are not chosen, to make k."""
    excluded = np.concatenate([chosen, wish.hidden])
    return _first_shown(best_first, excluded, wish.shown, wish.k - len(chosen))


def _first_shown(
    order: Int32Array, excluded: Int32Array, mask: BoolArray | None, n: int
) -> Int32Array:
    """The first n items of `order` that are not excluded and that the mask, if any, lets pass."""
    size = n + len(excluded)
    while True:
        first = order[:size]
        shown = ~np.isin(first, excluded)
        if mask is not None:
            shown &= mask[first]
        if size >= len(order) or np.count_nonzero(shown) >= n:
            return first[shown][:n]
        size *= 4  # the mask lets few items pass
