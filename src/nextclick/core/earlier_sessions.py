"""Finds the earlier sessions of users in a log, for models that read them.

Leakage guarantee: a session is earlier than another one of the same user if its last click precedes
the first click of the other. Anonymous sessions, which share the user index 0, have no history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.session_history import (
    MAX_EARLIER_CLICKS,
    SessionHistory,
    dwell_times,
    offsets_of,
    ranges,
)
from nextclick.core.sessions import MS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float32Array, Int32Array, Int64Array


class UserIndex:
    """Sessions sorted by user and time of their last click.

    Attributes:
        by_user: (M,) int64, the sessions of known users in that order.
    """

    def __init__(self, users: Int64Array, ends: Int64Array):
        """Sort sessions.

        Args:
            users: (S,) user of each session, 0 if unknown.
            ends: (S,) time of the last click of each session.
        """
        known = np.flatnonzero(users)
        self.by_user = known[np.lexsort((ends[known], users[known]))]
        # (user, end) as one key; the rank of an end replaces its time, so that keys do not overflow
        self._ends = np.unique(ends[self.by_user])
        self._stride = len(self._ends) + 1
        rank = np.searchsorted(self._ends, ends[self.by_user])
        self._keys = users[self.by_user] * self._stride + rank

    def before(self, users: Int64Array, starts: Int64Array) -> tuple[Int64Array, Int64Array]:
        """The sessions of users that ended before given times, as ranges of `by_user`.

        Args:
            users: (B,) users.
            starts: (B,) times.

        Returns:
            (B,) start and (B,) length of each range; the length is 0 for unknown users.
        """
        first = np.searchsorted(self._keys, users * self._stride)
        rank = np.searchsorted(self._ends, starts)
        stop = np.searchsorted(self._keys, users * self._stride + rank)
        return first, np.where(users > 0, stop - first, 0)


def returning_share(sessions: Sessions) -> float:
    """The share of sessions whose user has an earlier session among them, in 0..1.

    It is 0 without users or times.
    """
    if sessions.users is None or sessions.times is None or len(sessions) == 0:
        return 0.0
    users = np.asarray(sessions.users, dtype=np.int64)
    starts = np.asarray(sessions.times[sessions.offsets[:-1]])
    ends = np.asarray(sessions.times[sessions.offsets[1:] - 1])
    _, counts = UserIndex(users, ends).before(users, starts)
    return float(np.mean(counts > 0))


@dataclass(frozen=True, eq=False)
class EarlierSessions:
    """The log in which the earlier sessions of users are found; read on first use.

    Attributes:
        load: returns the parts of the log, with users and times.
        item_index: (N + 1,) index of each item of the log among the items of the model, 0 if
            unknown; None if both are the same.
        user_index: (U + 1,) index of each user of the log, likewise.
    """

    load: Callable[[], Sequence[Sessions]]
    item_index: Int32Array | None = None
    user_index: Int32Array | None = None

    @classmethod
    def of(cls, sessions: Sessions) -> EarlierSessions:
        """The log of `sessions`: the one that they name, or else these sessions themselves."""
        return cls(lambda: [sessions]) if sessions.earlier is None else sessions.earlier

    def remap_items(self, index: Int32Array) -> EarlierSessions:
        """The same log with new item indices: item i becomes `index[i]`; 0 is unknown."""
        old = self.item_index
        return replace(self, item_index=index if old is None else index[old])

    def remap_users(self, index: Int32Array) -> EarlierSessions:
        """The same log with new user indices: user u becomes `index[u]`; 0 is unknown."""
        old = self.user_index
        return replace(self, user_index=index if old is None else index[old])

    def before(self, users: Int64Array, starts: Int64Array, n: int) -> SessionHistory:
        """The last `n` sessions of each of B users that ended before given times.

        Args:
            users: (B,) users, 0 if unknown.
            starts: (B,) times of the first clicks of their sessions, in milliseconds.
            n: maximum number of earlier sessions.
        """
        first, counts = self._index.before(users, starts)
        latest = np.minimum(counts, n)
        chosen = self._index.by_user[ranges(first + counts - latest, latest)]  # (Z,)
        ages = (np.repeat(starts, latest) - self._ends[chosen]) / MS_PER_SECOND
        items, dwells, lengths = self._clicks(chosen)
        return SessionHistory(
            items,
            offsets_of(lengths),
            ages.astype(np.float32),
            dwells,
            np.cumsum(latest) - latest,
            latest,
        )

    @cached_property
    def _parts(self) -> Sequence[Sessions]:
        return self.load()

    @cached_property
    def _ends(self) -> Int64Array:
        """(S,) time of the last click of each session, part after part."""
        ends = [np.asarray(part.times)[part.offsets[1:] - 1] for part in self._parts]
        return np.concatenate(ends)

    @cached_property
    def _index(self) -> UserIndex:
        users = np.concatenate([np.asarray(part.users, dtype=np.int64) for part in self._parts])
        index = self.user_index
        return UserIndex(users if index is None else index[users].astype(np.int64), self._ends)

    def _clicks(self, chosen: Int64Array) -> tuple[Int32Array, Float32Array, Int64Array]:
        """The latest known clicks of sessions (Z,), one after another, and their number (Z,).

        The second array has the dwell times of the clicks.
        """
        lengths = np.zeros(len(chosen), dtype=np.int64)
        bounds = offsets_of(np.array([len(part) for part in self._parts], dtype=np.int64))
        part_of = np.searchsorted(bounds, chosen, side="right") - 1
        clicks, owners = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        clocks = [np.zeros(0, np.int64)]
        for number, part in enumerate(self._parts):
            own = np.flatnonzero(part_of == number)
            local = chosen[own] - bounds[number]
            sizes = part.offsets[local + 1] - part.offsets[local]
            rows = ranges(part.offsets[local], sizes)
            items = part.items[rows]
            items = items if self.item_index is None else self.item_index[items]
            known = items != 0
            clicks.append(items[known])
            owners.append(np.repeat(own, sizes)[known])
            clocks.append(np.asarray(part.times)[rows[known]])
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        items, owner = np.concatenate(clicks)[order], owner[order]
        dwells = dwell_times(np.concatenate(clocks)[order], owner)
        np.add.at(lengths, owner, 1)
        kept = np.minimum(lengths, MAX_EARLIER_CLICKS)
        last = ranges(np.cumsum(lengths) - kept, kept)
        return items[last].astype(np.int32), dwells[last], kept
