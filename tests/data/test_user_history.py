from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare
from nextclick.core.sessions import Sessions
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.data.user_history import UserHistory
from nextclick.errors import StoreError


def sessions_of(*rows):
    """Build sessions from rows of (user, [(time, item), …])."""
    sessions = Sessions.from_lists([[item for _, item in clicks] for _, clicks in rows])
    return replace(
        sessions,
        times=np.array([time for _, clicks in rows for time, _ in clicks], dtype=np.int64),
        users=np.array([user for user, _ in rows], dtype=np.int32),
    )


def random_sessions(rng, n=60, users=5):
    rows = []
    for _ in range(n):
        times = rng.integers(100) + np.cumsum(rng.integers(0, 9, rng.integers(1, 5)))
        rows.append((int(rng.integers(users)), [(int(t), int(rng.integers(1, 9))) for t in times]))
    return sessions_of(*rows)


def test_a_history_has_the_sessions_that_ended_before():
    log = sessions_of(
        (1, [(10, 1), (20, 2)]),
        (2, [(12, 3), (13, 4)]),
        (1, [(15, 5), (40, 6)]),  # begins before session 0 ends
        (1, [(40, 7), (50, 8)]),  # begins at the time at which session 2 ends
        (1, [(60, 9), (70, 1)]),
        (0, [(80, 1), (90, 2)]),
        (0, [(91, 1), (92, 2)]),
    )
    history = UserHistory.from_sessions(log, log)
    histories = [history.sessions(s).tolist() for s in range(len(log))]
    assert histories == [[], [], [], [0], [0, 2, 3], [], []]
    assert history.items(4).tolist() == [1, 2, 5, 6, 7, 8]
    assert history.items(4, n=3).tolist() == [6, 7, 8]
    assert history.sessions(4, n=2).tolist() == [2, 3]
    assert history.items(4, n=0).tolist() == history.items(0).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_a_history_equals_a_search_of_all_sessions(seed):
    rng = np.random.default_rng(seed)
    log, pool = random_sessions(rng), random_sessions(rng, n=80)
    history = UserHistory.from_sessions(log, pool)
    for s in range(len(log)):
        user, start = log.users[s], log.times[log.offsets[s]]
        ends = pool.times[pool.offsets[1:] - 1]
        same_user = [p for p in range(len(pool)) if user and pool.users[p] == user]
        earlier = [p for p in same_user if ends[p] < start]
        assert history.sessions(s).tolist() == sorted(earlier, key=lambda p: (ends[p], p))


def test_a_later_session_does_not_change_a_history():
    rng = np.random.default_rng(7)
    log = random_sessions(rng)
    now = int(np.median(log.times))
    ended = log.times[log.offsets[1:] - 1] < now
    spans = [slice(*log.offsets[s : s + 2]) for s in np.flatnonzero(ended)]
    past = sessions_of(
        *[
            (int(user), list(zip(log.times[span].tolist(), log.items[span].tolist(), strict=True)))
            for user, span in zip(log.users[ended], spans, strict=True)
        ]
    )
    full, truncated = UserHistory.from_sessions(log, log), UserHistory.from_sessions(log, past)
    for s in np.flatnonzero(log.times[log.offsets[:-1]] <= now):
        assert full.items(int(s)).tolist() == truncated.items(int(s)).tolist()


def make_store(folder, **columns):
    rows = [
        (s, s % 2, 1 + (s + n) % 4, 1_500_000_000 + s * 50_000 + n)
        for s in range(20)
        for n in (0, 1)
    ]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.25),
    )
    return prepare(frame.drop(columns.get("without", [])), folder, options=options).store


def test_the_history_of_a_store_spans_its_parts(tmp_path):
    store = make_store(tmp_path / "store")
    for part, first in (("train_inner", 0), ("train", 0), ("valid", 12), ("test", 16)):
        history = store.history(part)
        assert [len(history.sessions(s)) for s in range(len(store.part(part)))] == [
            (first + s) // 2 for s in range(len(store.part(part)))
        ]
    history = store.history("test")
    earlier, test = history.sessions(3), store.part("test")
    assert earlier.tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17]
    assert history.pool.session(17).tolist() == test.session(1).tolist()


def test_a_log_without_users_has_no_history(tmp_path):
    store = make_store(tmp_path / "store", without=["user"])
    with pytest.raises(StoreError, match="this log has no users; prepare a log that has both"):
        store.history("test")
