"""Pairs of clicks within sessions, the edges of all item graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array


def adjacent_clicks(sessions: Sessions) -> tuple[Int64Array, Int64Array]:
    """(n,) items and (n,) items clicked directly after them, known and distinct, with repetitions.

    >>> from nextclick.core.sessions import Sessions
    >>> log = Sessions.from_lists([[1, 2, 2, 0, 3], [3, 1]])
    >>> [items.tolist() for items in adjacent_clicks(log)]
    [[1, 3], [2, 1]]
    """
    return _pairs_at(sessions, 1)


def clicks_after(sessions: Sessions, distance: int) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield the pairs of `adjacent_clicks` for clicks 1, 2, … and at most `distance` apart.

    Args:
        sessions: the sessions.
        distance: the largest distance of the clicks of a pair; 0 for all pairs of a session.

    >>> from nextclick.core.sessions import Sessions
    >>> log = Sessions.from_lists([[1, 2, 3], [3, 1]])
    >>> [(i.tolist(), j.tolist()) for i, j in clicks_after(log, 0)]
    [([1, 2, 3], [2, 3, 1]), ([1], [3])]
    """
    longest = int(sessions.lengths().max(initial=0)) - 1
    for n in range(1, min(distance or longest, longest) + 1):
        yield _pairs_at(sessions, n)


def _pairs_at(sessions: Sessions, n: int) -> tuple[Int64Array, Int64Array]:
    """The pairs of clicks that are n clicks apart."""
    first, stop = int(sessions.offsets[0]), int(sessions.offsets[-1])
    items = np.asarray(sessions.items[first:stop], dtype=np.int64)
    before, after = items[:-n], items[n:]
    is_pair = (before != after) & (before != 0) & (after != 0)
    starts = np.asarray(sessions.offsets[1:-1]) - first
    for back in range(1, n + 1):  # the last n clicks before the start of another session
        crossing = starts - back
        is_pair[crossing[(crossing >= 0) & (crossing < len(is_pair))]] = False
    return before[is_pair], after[is_pair]
