"""Pairs of adjacent clicks within sessions, the edges of all item graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array


def adjacent_clicks(sessions: Sessions) -> tuple[Int64Array, Int64Array]:
    """(n,) items and (n,) items clicked directly after them, known and distinct, with repetitions.

    >>> from nextclick.core.sessions import Sessions
    >>> log = Sessions.from_lists([[1, 2, 2, 0, 3], [3, 1]])
    >>> [items.tolist() for items in adjacent_clicks(log)]
    [[1, 3], [2, 1]]
    """
    first, stop = int(sessions.offsets[0]), int(sessions.offsets[-1])
    items = np.asarray(sessions.items[first:stop], dtype=np.int64)
    before, after = items[:-1], items[1:]
    is_pair = (before != after) & (before != 0) & (after != 0)
    starts = np.asarray(sessions.offsets[1:-1]) - first
    is_pair[starts[(starts > 0) & (starts < len(items))] - 1] = False
    return before[is_pair], after[is_pair]
