"""Numbers of the clicks that the filters keep, by session and by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.data.click_table import ClickTable


@dataclass(frozen=True, slots=True)
class TableCounts:
    """Numbers of clicks, sessions, users and items after a step of the preparation."""

    events: int
    sessions: int
    users: int
    items: int

    def __add__(self, other: TableCounts) -> TableCounts:
        return TableCounts(
            self.events + other.events,
            self.sessions + other.sessions,
            self.users + other.users,
            self.items + other.items,
        )


class ClickCounts:
    """Drops clicks of a table, and counts those that remain.

    A count is computed when it is first read, and again after a drop that changes it. While an
    object is in use, no clicks may be dropped from the table by others.

    Args:
        table: the sessions, whose clicks are dropped.
        n_items: number of item codes.
        sessions: (S,) bool, the sessions that are counted and filtered; None for all.
    """

    def __init__(self, table: ClickTable, n_items: int, sessions: BoolArray | None = None) -> None:
        self.table = table
        self.n_items = n_items
        self._sessions = sessions
        self._lengths: Int64Array | None = None
        self._support: Int64Array | None = None

    @property
    def lengths(self) -> Int64Array:
        """(S,) int64, the number of remaining clicks of each session; 0 if it is not counted."""
        if self._lengths is None:
            lengths = self.table.remaining_lengths()
            self._lengths = lengths if self._sessions is None else lengths * self._sessions
        return self._lengths

    @property
    def support(self) -> Int64Array:
        """(n_items,) int64, the number of remaining clicks on each item."""
        if self._support is None:
            self._support = self.table.item_counts(self.n_items, self._sessions)
        return self._support

    @property
    def n_clicks(self) -> int:
        """Number of remaining clicks."""
        return int(self.lengths.sum())

    def drop_sessions(self, dropped: BoolArray) -> None:
        """Drop the sessions that are True in `dropped` (S,)."""
        dropped = dropped & (self.lengths > 0)
        if not dropped.any():
            return
        self.table.drop_sessions(dropped)
        self._lengths = np.where(dropped, 0, self.lengths)
        self._support = None

    def drop_items(self, dropped: BoolArray) -> None:
        """Drop the clicks on the items that are True in `dropped` (n_items,)."""
        if not (dropped & (self.support > 0)).any():
            return
        self.table.drop_items(dropped, self._sessions)
        self._support = np.where(dropped, 0, self.support)
        self._lengths = None

    def drop_repeats(self) -> None:
        """Drop each click on the item of the previous remaining click of its session."""
        self.table.drop_repeats(self._sessions)
        self._lengths = self._support = None

    def counts(self, n_users: int) -> TableCounts:
        """Count the remaining clicks, and the sessions, users and items that have one of them."""
        alive = self.lengths > 0
        users = 0
        if self.table.users is not None:
            known_users = self.table.users[alive & (self.table.users >= 0)]
            users = int((np.bincount(known_users, minlength=n_users) > 0).sum())
        items = int((self.support > 0).sum())
        return TableCounts(self.n_clicks, int(alive.sum()), users, items)
