"""Weighted transition counts between items, for `markov` and `rules`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.item_table import ItemTable, Rows
from nextclick.models.classical.ragged import expand_ranges, top_n_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Progress
    from nextclick.models.classical.inverted_index import Postings


def transition_table(
    sessions: Sessions, weights: Float64Array, neighbors: int, *, progress: Progress
) -> ItemTable:
    """Average the weights of the pairs of clicks (i, then j) within a session.

        value(i → j) = Σ over pairs w(steps from i to j) / number of pairs that start at i

    A click on an unknown item is in no pair, but it counts as a step between other clicks.

    Args:
        sessions: the training sessions.
        weights: w(1), w(2), …, all positive; pairs of clicks further apart are ignored.
        neighbors: number of items j stored per item i, by value.
        progress: called after each block of items.
    """

    def rows_of(postings: Postings) -> Callable[[int, int], Rows]:
        return follower_rows(sessions, postings, weights, neighbors)

    return ItemTable.build(rows_of, sessions, progress=progress)


@compiled_above(
    300_000,
    kernel="nextclick.models.classical.item_kernels:follower_rows",
    work=lambda _sessions, postings, *_: len(postings.sessions),
)
def follower_rows(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int
) -> Callable[[int, int], Rows]:
    """Return a function of (start, stop): the n best followers of items start..stop - 1."""
    return partial(_followers, sessions, postings, weights, n)


def _followers(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int, start: int, stop: int
) -> Rows:
    items, n_items = sessions.items, sessions.n_items
    bounds = postings.offsets[start : stop + 1]
    posting_session = postings.sessions[bounds[0] : bounds[-1]]  # (P,)
    first, end = sessions.offsets[posting_session], sessions.offsets[posting_session + 1]
    posting, click = expand_ranges(first, end)
    item = np.repeat(np.arange(start, stop), np.diff(bounds))[posting]
    is_item = items[click] == item  # keep the clicks on items start..stop - 1
    posting, click, item = posting[is_item], click[is_item], item[is_item]
    last = np.minimum(click + len(weights), end[posting] - 1)
    source, later_click = expand_ranges(click + 1, last + 1)
    known = items[later_click] > 0
    source, later_click = source[known], later_click[known]
    # pairs are sorted by item, newest session first, then position: the order of summation
    keys, key_index = np.unique(
        item[source] * (n_items + 1) + items[later_click], return_inverse=True
    )
    pair_weights = weights[later_click - click[source] - 1]
    sums = np.bincount(key_index, pair_weights, minlength=len(keys))
    row, follower = np.divmod(keys, n_items + 1)
    n_pairs = np.bincount(item[source] - start, minlength=stop - start)
    lengths, best = top_n_of_rows(row - start, follower, sums, n, stop - start)
    values = sums[best] / np.maximum(n_pairs, 1)[row[best] - start]
    return lengths, follower[best].astype(np.int32), values.astype(np.float32)
