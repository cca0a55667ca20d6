"""The index behind Session-KNN: the recent sessions of each item, and the items of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.ragged import expand

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.models.incremental_state import PriorSessions


class Index(NamedTuple):
    """What is learned.

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
        session_offsets, session_items = distinct_items(
            sessions.items, sessions.offsets, np.flatnonzero(listed), sessions.n_items
        )
        known = postings.n_sessions > 0
        idf = np.zeros(sessions.n_items + 1)
        idf[known] = np.log(len(sessions) / postings.n_sessions[known])
        item_sessions = renumbered[postings.sessions]
        return cls(postings.offsets, item_sessions, session_offsets, session_items, idf)

    def extended(self, new: Sessions, past: PriorSessions, sample_size: int) -> Index:
        """The index of the older sessions followed by the new ones.

        What fell off a list can never come back to it, so the lists are all that is needed, and
        |S_j| comes out of `idf`: to one part in 10¹⁴, and it is a whole number.
        """
        from nextclick.models.classical.session_votes import merged

        n_kept = len(self.session_offsets) - 1
        n_sessions = np.zeros(past.n_items + 1, dtype=np.int64)  # |S_j|, of the older log first
        known = np.diff(self.item_offsets) > 0  # (N + 1,)
        n_sessions[past.index[known]] = np.rint(past.n_sessions * np.exp(-self.idf[known]))
        postings = Postings.of(new, at_most=sample_size)
        n_sessions += postings.n_sessions
        before = np.zeros(past.n_items + 1, dtype=np.int32)  # where an item was, 0 is nowhere
        before[past.index] = np.arange(len(past.index))
        item_offsets, item_sessions = merged(
            self.item_offsets,
            self.item_sessions,
            before,
            postings.offsets,
            postings.sessions + np.int32(n_kept),
            sample_size,
        )
        listed = np.zeros(n_kept + len(new), dtype=np.bool_)
        listed[item_sessions] = True
        renumbered = np.cumsum(listed, dtype=np.int32) - np.int32(1)
        old_offsets, old_items = distinct_items(
            self.session_items,
            self.session_offsets,
            np.flatnonzero(listed[:n_kept]),
            len(past.index) - 1,
        )
        new_offsets, new_items = distinct_items(
            new.items, new.offsets, np.flatnonzero(listed[n_kept:]), past.n_items
        )
        known = n_sessions > 0
        idf = np.zeros(past.n_items + 1)
        idf[known] = np.log((past.n_sessions + len(new)) / n_sessions[known])
        return Index(
            item_offsets,
            renumbered[item_sessions],
            np.concatenate([old_offsets, old_offsets[-1] + new_offsets[1:]]),
            np.concatenate([past.index[old_items], new_items]),
            idf,
        )


@compiled_above(
    2_000_000,
    kernel="nextclick.models.classical.session_votes:distinct_items",
    work=lambda items, *_: len(items),
)
def distinct_items(
    items: Int32Array, offsets: Int64Array, kept: Int64Array, n_items: int
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the sessions `kept`, in the order of their first clicks."""
    row, at = expand(offsets[kept], offsets[kept + 1])
    known = items[at] > 0
    row, found = row[known], items[at[known]]
    first = np.sort(np.unique(row * (n_items + 1) + found, return_index=True)[1])
    out_offsets = np.zeros(len(kept) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[first], minlength=len(kept)), out=out_offsets[1:])
    return out_offsets, found[first]
