"""Which sessions hold an item: the inverted index that the neighbor models learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """The sessions of each item, newest first.

    Attributes:
        offsets: (N + 2,) int64; item i is in `sessions[offsets[i]:offsets[i + 1]]`. Item 0 is in
            none: nothing is learned from an unknown item.
        sessions: (J,) int32, index of the session; a higher index is a later session.
        n_sessions: (N + 1,) int64, how many sessions hold the item, listed or not.
    """

    offsets: Int64Array
    sessions: Int32Array
    n_sessions: Int64Array

    @classmethod
    def of(cls, sessions: Sessions, at_most: int | None = None) -> Postings:
        """List for each item its `at_most` latest sessions, or all of them.

        A session counts once however often it has the item. Memory: 4 bytes for each pair.
        """
        n_sessions = _count(sessions.items, sessions.offsets, sessions.n_items)
        listed = n_sessions if at_most is None else np.minimum(n_sessions, at_most)
        offsets = np.zeros(sessions.n_items + 2, dtype=np.int64)
        np.cumsum(listed, out=offsets[1:])
        return cls(offsets, _list(sessions.items, sessions.offsets, offsets), n_sessions)


@njit(cache=True, nogil=True)
def _count(items: Int32Array, offsets: Int64Array, n_items: int) -> Int64Array:
    counts = np.zeros(n_items + 1, np.int64)
    seen_in = np.full(n_items + 1, -1, np.int64)
    for s in range(len(offsets) - 1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if item != 0 and seen_in[item] != s:
                seen_in[item] = s
                counts[item] += 1
    return counts


@njit(cache=True, nogil=True)
def _list(items: Int32Array, offsets: Int64Array, posting_offsets: Int64Array) -> Int32Array:
    sessions = np.empty(posting_offsets[-1], np.int32)
    at = posting_offsets[:-1].copy()
    seen_in = np.full(len(at), -1, np.int64)
    for s in range(len(offsets) - 2, -1, -1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if seen_in[item] != s and at[item] < posting_offsets[item + 1]:
                seen_in[item] = s
                sessions[at[item]] = s
                at[item] += 1
    return sessions
