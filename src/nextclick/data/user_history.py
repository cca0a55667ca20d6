"""Earlier sessions of a user, without leakage.

    history = store.history("test")
    history.sessions(s)      # indices into history.pool, oldest first
    history.items(s, n=50)   # the latest 50 clicks before session s began

The history of a session consists of the sessions of the same user, of any part, whose last click
precedes the first click of the session. Anonymous sessions, which share the user index 0, have no
history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.earlier_sessions import UserIndex
from nextclick.errors import StoreError

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class UserHistory:
    """For each of S sessions, the sessions of its user that ended before it began.

    Attributes:
        pool: sessions that can be part of a history.
        by_user: (M,) int64, indices into `pool` of the sessions of known users, sorted by user and
            end.
        first: (S,) int64, start of the history of a session in `by_user`.
        counts: (S,) int64, number of sessions in the history of a session.
    """

    pool: Sessions
    by_user: Int64Array
    first: Int64Array
    counts: Int64Array

    @classmethod
    def from_sessions(cls, sessions: Sessions, pool: Sessions) -> UserHistory:
        """Build the history of each session.

        Args:
            sessions: S sessions with users and times.
            pool: sessions that can be part of a history; may include `sessions`.

        Raises:
            StoreError: users or times are missing.
        """
        users, starts, _ = _users_and_times(sessions)
        pool_users, _, ends = _users_and_times(pool)
        index = UserIndex(pool_users, ends)
        return cls(pool, index.by_user, *index.before(users, starts))

    def sessions(self, s: int, n: int | None = None) -> Int64Array:
        """Return (H,) int64, the sessions of the history of session s, oldest first.

        Args:
            s: session number.
            n: return the last n sessions only.

        Returns:
            Indices into `pool`, sorted by end.
        """
        count = int(self.counts[s])
        n_sessions = count if n is None else min(n, count)
        stop = int(self.first[s]) + count
        return self.by_user[stop - n_sessions : stop]

    def items(self, s: int, n: int | None = None) -> Int32Array:
        """Return (H,) int32, the clicks of the history of session s or the last n, oldest first."""
        # a session has at least one click, so the last n sessions contain the last n clicks
        sessions = [self.pool.session(int(index)) for index in self.sessions(s, n)]
        clicks = np.concatenate([np.zeros(0, dtype=np.int32), *sessions])
        return clicks if n is None else clicks[max(len(clicks) - n, 0) :]


def _users_and_times(sessions: Sessions) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return (S,) int64 each: user, time of the first click, time of the last click."""
    if sessions.users is None or sessions.times is None:
        missing = "users" if sessions.users is None else "times"
        raise StoreError(
            f"a user history requires users and times, but this log has no {missing}; "
            "prepare a log that has both"
        )
    first, last = sessions.offsets[:-1], sessions.offsets[1:] - 1
    users = np.asarray(sessions.users, dtype=np.int64)
    return users, np.asarray(sessions.times[first]), np.asarray(sessions.times[last])
