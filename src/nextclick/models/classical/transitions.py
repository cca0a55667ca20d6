"""Count which items come after an item, for the models of transitions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.item_table import ItemTable, Rows
from nextclick.models.classical.ragged import best_of_rows, expand

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Progress


def transition_table(
    sessions: Sessions, weights: Float64Array, neighbors: int, *, progress: Progress
) -> ItemTable:
    """Weigh every pair of clicks (i, then j) of a session that are close enough.

        value(i → j) = Σ over pairs w(steps from i to j) / number of pairs that start at i

    A click on an unknown item takes part in no pair, but it is a step between others.

    Args:
        sessions: what to learn from.
        weights: w(1), w(2), …; all above 0; pairs further apart do not count.
        neighbors: how many j are kept for each i, those of highest value.
        progress: told of finished blocks of items.
    """
    postings = Postings.of(sessions)

    rows = follower_rows(sessions, postings, weights, neighbors)
    return ItemTable.build(rows, postings, progress=progress)


@compiled_above(
    300_000,
    kernel="nextclick.models.classical.item_kernels:follower_rows",
    work=lambda _sessions, postings, *_: len(postings.sessions),
)
def follower_rows(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int
) -> Callable[[int, int], Rows]:
    """A function of (start, stop): the n best followers of items start..stop - 1."""
    return partial(_followers, sessions, postings, weights, n)


def _followers(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int, start: int, stop: int
) -> Rows:
    items, n_items = sessions.items, sessions.n_items
    bounds = postings.offsets[start : stop + 1]
    listed = postings.sessions[bounds[0] : bounds[-1]]  # (P,)
    first, end = sessions.offsets[listed], sessions.offsets[listed + 1]
    owner, at = expand(first, end)
    item = np.repeat(np.arange(start, stop), np.diff(bounds))[owner]
    own = items[at] == item
    owner, at, item = owner[own], at[own], item[own]  # the clicks on the items at hand
    last = np.minimum(at + len(weights), end[owner] - 1)
    pair, later = expand(at + 1, last + 1)
    known = items[later] > 0
    pair, later = pair[known], later[known]
    # pairs stand by item, newest session first, then by position: sums add up in this order
    keys, place = np.unique(item[pair] * (n_items + 1) + items[later], return_inverse=True)
    sums = np.bincount(place, weights[later - at[pair] - 1], minlength=len(keys))
    row, follower = np.divmod(keys, n_items + 1)
    n_pairs = np.bincount(item[pair] - start, minlength=stop - start)
    lengths, best = best_of_rows(row - start, follower, sums, n, stop - start)
    values = sums[best] / np.maximum(n_pairs, 1)[row[best] - start]
    return lengths, follower[best].astype(np.int32), values.astype(np.float32)
