"""The clicks of one part of a log: all of it, or training or test of a pre-split log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.id_notes import IdSummary, summarize_ids
from nextclick.data.sessionize import Grouping, gather_sessions

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.data.click_table import ClickTable


class LogPart(Protocol):
    """The clicks of one part of a log, wherever they are.

    Attributes:
        n_other_user: clicks by another user than the first user of their session.
    """

    n_other_user: int

    @property
    def n_clicks(self) -> int:
        """Number of clicks."""
        ...

    def sessions(self, grouping: Grouping) -> ClickTable:
        """Return the clicks by session, sorted by time; equal times keep the order of the files.

        The part is no longer used after the call.
        """
        ...

    def id_summary(self) -> IdSummary:
        """Return what the notes on ids need to know about the ids of the groups."""
        ...


@dataclass(slots=True)
class RawPart:
    """The clicks of one part of a log, in the order of the files.

    A group is a session, or a user whose clicks are not yet split into sessions.

    Attributes:
        groups: encoder of the ids of sessions or users.
        group_user: (groups,) user code of each group, -1 if unknown.
        chunk_items, chunk_groups, chunk_times: item codes, group codes and milliseconds of the
            clicks, one array per chunk.
        chunk_columns: for each kept column the codes of the values, one array per chunk.
        n_other_user: clicks by another user than the first user of their session.
    """

    groups: IdEncoder = field(default_factory=IdEncoder)
    group_user: Int32Array = field(default_factory=lambda: np.full(1 << 12, -1, dtype=np.int32))
    chunk_items: list[Int32Array] = field(default_factory=list)
    chunk_groups: list[Int32Array] = field(default_factory=list)
    chunk_times: list[Int64Array] = field(default_factory=list)
    chunk_columns: list[list[Int32Array]] = field(default_factory=list)
    n_other_user: int = 0

    @property
    def n_clicks(self) -> int:
        """Number of clicks."""
        return sum(map(len, self.chunk_groups))

    def add_users(self, groups: Int32Array, users: Int32Array) -> None:
        """Set the first known user of each group, and count the clicks of other users.

        Args:
            groups: (n,) group codes of the clicks of a chunk.
            users: (n,) their user codes, -1 if unknown.
        """
        _grow_group_user(self)
        self.n_other_user += _assign_users(groups, users, self.group_user)

    def sessions(self, grouping: Grouping) -> ClickTable:
        """Return the clicks by session, sorted by time."""
        table = gather_sessions(self)
        if grouping.by_user:
            table.users = np.arange(len(table), dtype=np.int32)
        return grouping.apply(table)

    def id_summary(self) -> IdSummary:
        """Return what the notes on ids need to know about the ids of the groups."""
        return summarize_ids(self.groups.ids(), self.chunk_groups)


def _grow_group_user(part: RawPart) -> None:
    n_groups, capacity = len(part.groups), len(part.group_user)
    if n_groups > capacity:
        grown = np.full(max(n_groups, 2 * capacity), -1, dtype=np.int32)
        grown[:capacity] = part.group_user
        part.group_user = grown


def _assign_users(groups: Int32Array, users: Int32Array, group_user: Int32Array) -> int:
    """Set the first known user of each group; return the number of clicks by another user."""
    first = group_user[groups]  # (n,) the user of the group of each click
    is_known = users >= 0
    new = np.flatnonzero(is_known & (first < 0))
    # the last of several assignments to one index is kept, so assign in reverse order
    group_user[groups[new][::-1]] = users[new][::-1]
    first[new] = group_user[groups[new]]
    return int(np.count_nonzero(is_known & (users != first)))
