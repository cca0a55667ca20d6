"""The index behind Session-KNN: the recent sessions of each item, and the items of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numba import njit

from nextclick.models.kernels import grow
from nextclick.models.postings import Postings

if TYPE_CHECKING:
    from nextclick.sessions import Sessions
    from nextclick.types import Float64Array, Int32Array, Int64Array


class Index(NamedTuple):
    """What is learnt.

    Attributes:
        item_offsets: (N + 2,) int64; item i is in item_sessions[item_offsets[i]:item_offsets[i+1]].
        item_sessions: int32, the most recent sessions of each item, newest (highest) first.
        session_offsets: (S + 1,) int64; the kept sessions, oldest first.
        session_items: int32, the distinct known items of each session.
        idf: (N + 1,) float64, ln(|S| / |S_j|); 0 for an item in no session.
    """

    item_offsets: Int64Array
    item_sessions: Int32Array
    session_offsets: Int64Array
    session_items: Int32Array
    idf: Float64Array

    @classmethod
    def of(cls, sessions: Sessions, sample_size: int) -> Self:
        """List for each item its `sample_size` most recent sessions; drop those on no list.

        Memory: 4 bytes for each entry of a list and for each distinct item of a kept session.
        """
        postings = Postings.of(sessions, at_most=sample_size)
        listed = np.zeros(len(sessions), dtype=np.bool_)
        listed[postings.sessions] = True
        renumbered = np.cumsum(listed, dtype=np.int32) - np.int32(1)  # (S,), keeps the order
        session_offsets, session_items = _distinct_items(
            sessions.items, sessions.offsets, np.flatnonzero(listed), sessions.n_items
        )
        known = postings.n_sessions > 0
        idf = np.zeros(sessions.n_items + 1)
        idf[known] = np.log(len(sessions) / postings.n_sessions[known])
        item_sessions = renumbered[postings.sessions]
        return cls(postings.offsets, item_sessions, session_offsets, session_items, idf)


@njit(cache=True, nogil=True)
def _distinct_items(
    items: Int32Array, offsets: Int64Array, kept: Int64Array, n_items: int
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the sessions `kept`."""
    out_offsets = np.zeros(len(kept) + 1, np.int64)
    out = np.empty(0, np.int32)
    used = 0
    seen_in = np.full(n_items + 1, -1, np.int64)
    for row in range(len(kept)):
        s = kept[row]
        out = grow(out, used, offsets[s + 1] - offsets[s])
        for item in items[offsets[s] : offsets[s + 1]]:
            if item != 0 and seen_in[item] != s:
                seen_in[item] = s
                out[used] = item
                used += 1
        out_offsets[row + 1] = used
    return out_offsets, out[:used].copy()
