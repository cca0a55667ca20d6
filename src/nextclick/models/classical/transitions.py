"""Count which items come after an item, for the models of transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.item_table import ItemTable, Rows
from nextclick.models.ops.kernels import grow, keep_best

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array, Progress


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

    def rows(start: int, stop: int) -> Rows:
        found: Rows = _followers(
            sessions.items,
            sessions.offsets,
            postings.offsets,
            postings.sessions,
            weights,
            neighbors,
            start,
            stop,
        )
        return found

    return ItemTable.build(rows, postings, progress=progress)


@njit(cache=True, nogil=True)
def _followers(
    items: Int32Array,
    offsets: Int64Array,
    posting_offsets: Int64Array,
    postings: Int32Array,
    weights: Float64Array,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    """The best followers of items start..stop - 1."""
    n_items = len(posting_offsets) - 2
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    sums = np.zeros(n_items + 1)
    touched = np.empty(n_items + 1, np.int32)
    for i in range(start, stop):
        n_touched, n_pairs = 0, 0
        for posting in range(posting_offsets[i], posting_offsets[i + 1]):
            s = postings[posting]
            session = items[offsets[s] : offsets[s + 1]]
            for p in range(len(session)):
                if session[p] != i:
                    continue
                for q in range(p + 1, min(p + len(weights), len(session) - 1) + 1):
                    j = session[q]
                    if j == 0:
                        continue
                    if sums[j] == 0:
                        touched[n_touched] = j
                        n_touched += 1
                    sums[j] += weights[q - p - 1]
                    n_pairs += 1
        others = touched[:n_touched]
        best, best_sums = keep_best(others, sums[others], n)
        sums[others] = 0.0
        out_items = grow(out_items, used, len(best))
        out_values = grow(out_values, used, len(best))
        out_items[used : used + len(best)] = best
        out_values[used : used + len(best)] = best_sums / max(n_pairs, 1)
        used += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:used], out_values[:used]
