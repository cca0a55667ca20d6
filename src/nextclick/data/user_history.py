"""What a visitor clicked in earlier sessions, and nothing later.

    history = store.history("test")
    history.sessions(s)      # indices into history.pool, oldest first
    history.items(s, n=50)   # the latest 50 clicks before session s began

A session belongs to the history of another one of the same visitor if its last click came before
the other one's first click, whichever parts they are in: what the clock had seen is known, and that
is all. A visitor who is not known has no history: anonymous sessions share the index 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import StoreError

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class UserHistory:
    """For each of S sessions, the sessions of its user that were over when it began.

    Attributes:
        pool: the sessions that can be remembered.
        by_user: (M,) int64, indices into `pool` of those of known users, by user, then by end.
        first: (S,) int64, where in `by_user` the history of a session begins.
        counts: (S,) int64, how many sessions it has.
    """

    pool: Sessions
    by_user: Int64Array
    first: Int64Array
    counts: Int64Array

    @classmethod
    def of(cls, sessions: Sessions, pool: Sessions) -> UserHistory:
        """Find what came before each session.

        Args:
            sessions: S sessions with users and times.
            pool: the sessions to remember; it may hold `sessions` themselves.

        Raises:
            StoreError: users or times are missing.
        """
        users, starts, _ = _owners(sessions)
        owners, _, ends = _owners(pool)
        known = np.flatnonzero(owners)
        by_user = known[np.lexsort((ends[known], owners[known]))]
        # one number for (user, moment): moments are ranked, so that nothing overflows
        moments = np.unique(ends[by_user])
        room = len(moments) + 1
        ended = owners[by_user] * room + np.searchsorted(moments, ends[by_user])
        first = np.searchsorted(ended, users * room)
        over = np.searchsorted(ended, users * room + np.searchsorted(moments, starts))
        return cls(pool, by_user, first, np.where(users > 0, over - first, 0))

    def sessions(self, s: int, n: int | None = None) -> Int64Array:
        """(H,) int64, indices into `pool` of the last n sessions (or all) before session s began.

        They stand in the order of their ends, the oldest first.
        """
        count = int(self.counts[s])
        taken = count if n is None else min(n, count)
        stop = int(self.first[s]) + count
        return self.by_user[stop - taken : stop]

    def items(self, s: int, n: int | None = None) -> Int32Array:
        """(H,) int32, the last n clicks (or all) of those sessions, the oldest first."""
        # a session has a click at least, so the last n sessions hold the last n clicks
        before = [self.pool.session(int(one)) for one in self.sessions(s, n)]
        clicks = np.concatenate([np.zeros(0, dtype=np.int32), *before])
        return clicks if n is None else clicks[max(len(clicks) - n, 0) :]


def _owners(sessions: Sessions) -> tuple[Int64Array, Int64Array, Int64Array]:
    """(S,) int64 each: user, time of the first click, time of the last one."""
    if sessions.users is None or sessions.times is None:
        lacks = "users" if sessions.users is None else "times"
        raise StoreError(
            f"the history of a user needs users and times, and this log has no {lacks}; "
            "prepare a log that has both"
        )
    first, last = sessions.offsets[:-1], sessions.offsets[1:] - 1
    users = np.asarray(sessions.users, dtype=np.int64)
    return users, np.asarray(sessions.times[first]), np.asarray(sessions.times[last])
