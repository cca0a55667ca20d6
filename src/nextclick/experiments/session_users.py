"""The users of the sessions of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from nextclick.core.types import Int32Array, Int64Array


class SessionUsers:
    """The user of each session: that of its first click on which one is known.

    Args:
        index: the indices of raw user ids, 0 for a missing or unknown one.
    """

    def __init__(self, index: Callable[[pl.Series], Int32Array]):
        self._index = index
        self._users = np.empty(0, np.int32)

    def add(self, session: Int64Array, ids: pl.Series, n_sessions: int) -> None:
        """Read the users of rows.

        Args:
            session: (n,) the number of the session of each row.
            ids: (n,) the raw user ids.
            n_sessions: the number of sessions so far.
        """
        users = self._index(ids)
        if n_sessions > len(self._users):  # doubled, so that growing takes linear time
            grown = np.zeros(max(n_sessions, 2 * len(self._users)), np.int32)
            grown[: len(self._users)] = self._users
            self._users = grown
        known = np.flatnonzero((users > 0) & (self._users[session] == 0))[::-1]
        self._users[session[known]] = users[known]  # of equal indices the last one is assigned

    def of(self, start: int, stop: int) -> Int32Array:
        """(stop - start,) int32, the users of the sessions start..stop - 1, 0 if unknown."""
        users = np.zeros(stop - start, np.int32)
        known = self._users[start:stop]
        users[: len(known)] = known
        return users
