"""The index of Session-KNN: the recent sessions of each item, and the items of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.array_checks import check_array, check_length, check_offsets, check_range
from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.ragged import expand_ranges

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array

CHUNK_CLICKS = 200_000_000
"""Clicks that are indexed at once."""


class SessionIndex(NamedTuple):
    """The fitted state of Session-KNN.

    Attributes:
        item_offsets: (N + 2,) int64; item i is in item_sessions[item_offsets[i]:item_offsets[i+1]].
        item_sessions: int32, the most recent sessions of each item, newest (highest) first.
        session_offsets: (S + 1,) int64, bounds of the stored sessions, oldest first.
        session_items: int32, the distinct known items of each session.
        idf: (N + 1,) float64, ln(|S| / |S_j|); 0 for an item without sessions.
    """

    item_offsets: Int64Array
    item_sessions: Int32Array
    session_offsets: Int64Array
    session_items: Int32Array
    idf: Float64Array

    @classmethod
    def from_sessions(cls, sessions: Sessions, sample_size: int) -> Self:
        """List the `sample_size` most recent sessions of each item; drop sessions in no list.

        A long log is indexed chunk by chunk, and the indices are merged. Memory: 4 bytes per list
        entry and per distinct item of a stored session, and 13 bytes per session of a chunk.
        """
        chunks = sessions.chunks(CHUNK_CLICKS)
        index = cls._of_chunk(next(chunks, (0, sessions))[1], sample_size)
        every_item = np.arange(sessions.n_items + 1, dtype=np.int32)
        for n_before, chunk in chunks:
            index = index.append(chunk, sample_size, n_before, every_item)
        return index

    @classmethod
    def _of_chunk(cls, sessions: Sessions, sample_size: int) -> Self:
        postings = Postings.from_sessions(sessions, max_per_item=sample_size)
        is_listed = np.zeros(len(sessions), dtype=np.bool_)
        is_listed[postings.sessions] = True
        new_number = np.cumsum(is_listed, dtype=np.int32) - np.int32(1)  # (S,), order-preserving
        session_offsets, session_items = distinct_items(
            sessions.items, sessions.offsets, np.flatnonzero(is_listed), sessions.n_items
        )
        idf = _inverse_frequency(len(sessions), postings.n_sessions)
        item_sessions = new_number[postings.sessions]
        return cls(postings.offsets, item_sessions, session_offsets, session_items, idf)

    def append(self, new: Sessions, sample_size: int, n_older: int, item_index: Int32Array) -> Self:
        """The index of the older sessions followed by the new ones.

        A session that was dropped from a list never returns to it, so the lists are sufficient.
        |S_j| is recovered from `idf` exactly: the relative error is 10⁻¹⁴, and |S_j| is an integer.

        Args:
            new: the new sessions.
            sample_size: maximum number of sessions of a list.
            n_older: number of older sessions.
            item_index: (N + 1,) index of the items of this index among those of `new`.
        """
        from nextclick.models.classical.session_votes import merge_lists

        n_old = len(self.session_offsets) - 1
        n_sessions = np.zeros(new.n_items + 1, dtype=np.int64)  # |S_j|, first of the older log
        known = np.diff(self.item_offsets) > 0  # (N + 1,)
        n_sessions[item_index[known]] = np.rint(n_older * np.exp(-self.idf[known]))
        postings = Postings.from_sessions(new, max_per_item=sample_size)
        n_sessions += postings.n_sessions
        old_index = np.zeros(new.n_items + 1, dtype=np.int32)  # of each item, 0 for a new item
        old_index[item_index] = np.arange(len(item_index))
        item_offsets, item_sessions = merge_lists(
            self.item_offsets,
            self.item_sessions,
            old_index,
            postings.offsets,
            postings.sessions + np.int32(n_old),
            sample_size,
        )
        is_listed = np.zeros(n_old + len(new), dtype=np.bool_)
        is_listed[item_sessions] = True
        new_number = np.cumsum(is_listed, dtype=np.int32) - np.int32(1)
        old_offsets, old_items = distinct_items(
            self.session_items,
            self.session_offsets,
            np.flatnonzero(is_listed[:n_old]),
            len(item_index) - 1,
        )
        new_offsets, new_items = distinct_items(
            new.items, new.offsets, np.flatnonzero(is_listed[n_old:]), new.n_items
        )
        return type(self)(
            item_offsets,
            new_number[item_sessions],
            np.concatenate([old_offsets, old_offsets[-1] + new_offsets[1:]]),
            np.concatenate([item_index[old_items], new_items]),
            _inverse_frequency(n_older + len(new), n_sessions),
        )

    def check(self, n_items: int) -> None:
        """Check that all offsets, sessions and items are in range.

        Raises:
            ArrayError: an array that does not fit.
        """
        check_array("idf", self.idf, np.float64)
        check_length("idf", self.idf, n_items + 1)
        check_array("item_sessions", self.item_sessions, np.int32)
        check_array("session_items", self.session_items, np.int32)
        check_offsets("item_offsets", self.item_offsets, len(self.item_sessions))
        check_length("item_offsets", self.item_offsets, n_items + 2)
        check_offsets("session_offsets", self.session_offsets, len(self.session_items))
        check_range("item_sessions", self.item_sessions, 0, len(self.session_offsets) - 2)
        check_range("session_items", self.session_items, 1, n_items)


def _inverse_frequency(n_total: int, n_sessions: Int64Array) -> Float64Array:
    """(N + 1,) ln(|S| / |S_j|); 0 for an item without sessions."""
    known = n_sessions > 0
    idf = np.zeros(len(n_sessions))
    idf[known] = np.log(n_total / n_sessions[known])
    return idf


@compiled_above(
    2_000_000,
    kernel="nextclick.models.classical.session_votes:distinct_items",
    work=lambda items, *_: len(items),
)
def distinct_items(
    items: Int32Array, offsets: Int64Array, selected: Int64Array, n_items: int
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the `selected` sessions, in the order of their first clicks."""
    row, click = expand_ranges(offsets[selected], offsets[selected + 1])
    known = items[click] > 0
    row, known_items = row[known], items[click[known]]
    first = np.sort(np.unique(row * (n_items + 1) + known_items, return_index=True)[1])
    out_offsets = np.zeros(len(selected) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[first], minlength=len(selected)), out=out_offsets[1:])
    return out_offsets, known_items[first]
