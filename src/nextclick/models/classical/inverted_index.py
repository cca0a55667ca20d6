"""The inverted index from items to sessions that the neighbor models are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.core.session_history import offsets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array

MAX_ENTRIES = 50_000_000
"""Clicks whose postings, of 4 bytes each, are in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """The sessions that contain each item, newest first.

    Attributes:
        offsets: (N + 2,) int64; item i is in `sessions[offsets[i]:offsets[i + 1]]`. The list of
            item 0 is empty: unknown items are ignored.
        sessions: (J,) int32, session indices; a higher index is a later session.
        n_sessions: (N + 1,) int64, number of sessions with the item, listed or not.
    """

    offsets: Int64Array
    sessions: Int32Array
    n_sessions: Int64Array

    @classmethod
    def from_sessions(cls, sessions: Sessions, max_per_item: int | None = None) -> Self:
        """List the `max_per_item` latest sessions of each item, or all of them.

        A session is listed once per item, even if it has several clicks on it. Memory: 4 bytes
        per (item, session) pair.
        """
        limit = len(sessions) if max_per_item is None else max_per_item
        limits = np.full(sessions.n_items + 1, limit, dtype=np.int64)
        return cls(*invert(sessions.items, sessions.offsets, limits))

    @classmethod
    def by_items(cls, sessions: Sessions) -> Iterator[tuple[int, int, Self]]:
        """Yield (start, stop) and the postings of items start..stop - 1 for ranges of all items.

        The lists of other items are empty; `n_sessions` is that of all items. A range has at most
        `MAX_ENTRIES` clicks, or one item, which bounds the memory. The log is read once per range.
        """
        for start, stop in _item_ranges(sessions):
            limits = np.zeros(sessions.n_items + 1, dtype=np.int64)
            limits[start:stop] = len(sessions)
            yield start, stop, cls(*invert(sessions.items, sessions.offsets, limits))


def _item_ranges(sessions: Sessions) -> list[tuple[int, int]]:
    n_items = sessions.n_items + 1
    if sessions.n_events <= MAX_ENTRIES:
        return [(0, n_items)]
    n_before, ranges, start = offsets_of(sessions.support()), [], 0
    while start < n_items:
        fits = int(np.searchsorted(n_before, n_before[start] + MAX_ENTRIES, side="right")) - 1
        ranges.append((start, max(fits, start + 1)))
        start = ranges[-1][1]
    return ranges


@compiled_above(
    2_000_000,
    kernel="nextclick.models.classical.item_kernels:invert",
    work=lambda items, *_: len(items),
)
def invert(
    items: Int32Array, offsets: Int64Array, limits: Int64Array
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """Compute the fields of `Postings`.

    Args:
        items: (E,) the clicks.
        offsets: (S + 1,) the sessions.
        limits: (N + 1,) maximum number of sessions listed for each item.
    """
    n, n_items = len(offsets) - 1, len(limits) - 1
    session = np.repeat(np.arange(n), np.diff(offsets))
    pairs = np.unique((items.astype(np.int64) << 32) | (n - 1 - session))
    item = pairs >> 32
    pairs, item = pairs[item > 0], item[item > 0]  # by item, newest session first
    n_sessions = np.bincount(item, minlength=n_items + 1)
    n_listed = np.minimum(n_sessions, limits)
    listed_offsets = np.zeros(n_items + 2, dtype=np.int64)
    np.cumsum(n_listed, out=listed_offsets[1:])
    position = np.arange(len(item)) - (np.cumsum(n_sessions) - n_sessions)[item]
    sessions = n - 1 - (pairs[position < n_listed[item]] & 0xFFFFFFFF)
    return listed_offsets, sessions.astype(np.int32), n_sessions
