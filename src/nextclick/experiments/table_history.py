"""The earlier sessions of the users of a table, for models that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.sessions import Sessions
from nextclick.data.encode import IdEncoder
from nextclick.data.store import Store
from nextclick.experiments.raw_id_index import RawIdIndex
from nextclick.experiments.session_users import SessionUsers
from nextclick.experiments.user_sessions import log_of_users

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from nextclick.core.session_history import SessionHistory
    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.serving.recommender import Recommender

_NO_START = np.iinfo(np.int64).max


class TableHistory:
    """Finds the earlier sessions of the users of a table, in a store or in the table itself.

    A session is earlier than another one of the same user if its last click precedes the first
    click of the other.

    Args:
        recommender: a model that reads earlier sessions.
        store: the store, or its folder; None is the table.

    Attributes:
        users: the users of the sessions of the table, filled while it is read.
        of_table: whether the sessions of the table are the earlier ones; then `log` is set after
            the table was read.
        log: the log of the earlier sessions.

    Raises:
        StoreError: the store has no users or no times.
    """

    def __init__(self, recommender: Recommender, store: Store | str | Path | None = None):
        model = recommender.artifact.model
        self._n_earlier = model.capabilities.earlier_sessions
        self._recommender = recommender
        self.of_table = store is None
        self.log: EarlierSessions | None = None
        if store is None:
            self.users = SessionUsers(_one_based(IdEncoder()))
            return
        store = store if isinstance(store, Store) else Store.open(store)
        log, users = log_of_users(store)
        index = recommender.indices(store.items.ids())
        self.log = log.remap_items(np.append(np.zeros(1, np.int32), index))
        self.users = SessionUsers(RawIdIndex(users).indices)

    def read_table(self, sessions: Sessions) -> None:
        """Take the earlier sessions from the table: S sessions with times, in any order."""
        filled = np.flatnonzero(sessions.lengths())
        users = self.users.of(0, len(sessions))[filled]
        offsets = np.append(sessions.offsets[:-1][filled], sessions.offsets[-1])
        pool = Sessions(sessions.items, offsets, sessions.n_items, sessions.times, users)
        self.log = EarlierSessions.of(pool)
        candidates = self._recommender.artifact.candidates
        if candidates is not None:  # clicks on other items are unknown to the model
            index = np.where(candidates, np.arange(len(candidates)), 0)
            self.log = self.log.remap_items(index.astype(np.int32))

    def before(self, first: int, starts: Int64Array) -> SessionHistory | None:
        """The earlier sessions of consecutive sessions of the table; None if there is no log.

        Args:
            first: number of the first session.
            starts: (S,) when they begin, in milliseconds; -1 if unknown. All sessions of the user
                are then earlier, with an unknown age.
        """
        if self.log is None:
            return None
        users = self.users.of(first, first + len(starts)).astype(np.int64)
        unknown = starts < 0
        found = self.log.before(users, np.where(unknown, _NO_START, starts), self._n_earlier)
        found.ages[np.repeat(unknown, found.counts)] = np.nan
        return found


def _one_based(encoder: IdEncoder) -> Callable[[pl.Series], Int32Array]:
    return lambda ids: encoder.encode(ids) + 1
