"""The latest sessions of a user in a store, as the history of a recommendation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.data.store import Store
from nextclick.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Float32Array, RawId
    from nextclick.core.vocabulary import Vocabulary

LATEST = 100  # a request has at most as many earlier sessions


def user_sessions(
    store: Store | str | Path, user: RawId, *, before: float | None = None, n: int = LATEST
) -> list[tuple[list[RawId], list[float] | float]]:
    """The last `n` sessions of a user that ended before a time, the oldest first.

    Args:
        store: a store with users and times, or its folder.
        user: raw id.
        before: seconds since 1970; None is after the last click of the store.
        n: maximum number of sessions.

    Returns:
        Raw ids in click order and the times of the clicks in seconds of each session; for a session
        without known clicks the time of its last click. Empty for a user without a session.

    Raises:
        StoreError: the store has no users or no times.
    """
    store = store if isinstance(store, Store) else Store.open(store)
    log, users = log_of_users(store)
    if before is None:
        parts = [store.part(name).times for name in ("train", "test")]
        start = max(int(times.max()) for times in parts if times is not None) + 1
    else:
        start = round(before * MS_PER_SECOND)
    index = np.array([users.index(user)], dtype=np.int64)
    found = log.before(index, np.array([start], dtype=np.int64), n)
    ends = start / MS_PER_SECOND - found.ages.astype(np.float64)
    bounds = list(zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist(), strict=True))
    return [
        (store.items.raw_ids(found.items[first:last]), _times(end, found.dwells[first:last]))
        for (first, last), end in zip(bounds, ends.tolist(), strict=True)
    ]


def log_of_users(store: Store) -> tuple[EarlierSessions, Vocabulary]:
    """The sessions of both parts of a store, and its users.

    Raises:
        StoreError: the store has no users or no times.
    """
    test = store.part("test")
    has_times = all(store.part(name).times is not None for name in ("train", "test"))
    if store.users is None or not has_times:
        raise StoreError(
            f"{store.path} has no users or no times, so the sessions of a user are unknown: "
            "prepare the log with --user-column and --time-column"
        )
    return EarlierSessions.of(test), store.users


def _times(end: float, dwells: Float32Array) -> list[float] | float:
    """The times of clicks from that of the last one and the dwell times of the others."""
    until_end = np.cumsum(np.append(0.0, dwells[-2::-1].astype(np.float64)))[::-1]
    times: list[float] = np.round(end - until_end, 3).tolist()
    return times if len(dwells) else times[0]
