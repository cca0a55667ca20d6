"""The earlier sessions of a user: only those that ended, the latest ones, with their ages."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.session_batch import SessionBatch
from nextclick.core.session_history import MAX_EARLIER_CLICKS, EarlierClicks, SessionHistory
from nextclick.core.sessions import Sessions


def sessions_of(*rows):
    """Sessions from rows of (user, [(second, item), …])."""
    sessions = Sessions.from_lists([[item for _, item in clicks] for _, clicks in rows], n_items=9)
    return replace(
        sessions,
        times=np.array([1000 * t for _, clicks in rows for t, _ in clicks], dtype=np.int64),
        users=np.array([user for user, _ in rows], dtype=np.int32),
        n_users=4,
    )


def random_sessions(rng, n=60, users=4):
    rows = []
    for _ in range(n):
        times = rng.integers(100) + np.cumsum(rng.integers(0, 9, rng.integers(1, 5)))
        rows.append((int(rng.integers(users)), [(int(t), int(rng.integers(0, 9))) for t in times]))
    rows.sort(key=lambda row: row[1][-1][0])
    return sessions_of(*rows)


def unfold(history):
    """The (clicks, age) of the earlier sessions of each row."""
    rows = []
    for first, count in zip(history.first.tolist(), history.counts.tolist(), strict=True):
        numbers = range(first, first + count)
        rows.append(
            [
                (
                    history.items[history.offsets[z] : history.offsets[z + 1]].tolist(),
                    float(history.ages[z]),
                )
                for z in numbers
            ]
        )
    return rows


def history_of(log, sessions, n=10):
    users = np.asarray(sessions.users, dtype=np.int64)
    return log.before(users, sessions.times[sessions.offsets[:-1]], n)


LOG = sessions_of(
    (1, [(10, 1), (20, 2)]),
    (2, [(12, 3), (23, 4)]),
    (1, [(15, 5), (40, 6)]),  # begins before session 0 ends
    (1, [(40, 7), (50, 0), (55, 8)]),  # begins when session 2 ends; item 0 is unknown
    (1, [(60, 9), (70, 1)]),
    (0, [(80, 1), (90, 2)]),
)


def test_only_sessions_of_the_user_that_ended_before_by_hand():
    assert unfold(history_of(EarlierSessions.of(LOG), LOG)) == [
        [],
        [],
        [],
        [([1, 2], 20.0)],
        [([1, 2], 40.0), ([5, 6], 20.0), ([7, 8], 5.0)],
        [],
    ]
    assert unfold(history_of(EarlierSessions.of(LOG), LOG, n=2))[4] == [
        ([5, 6], 20.0),
        ([7, 8], 5.0),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_two_parts_equal_a_search_of_all_sessions(seed):
    rng = np.random.default_rng(seed)
    train, test = random_sessions(rng), random_sessions(rng, n=30)
    index = np.array([0, 3, 0, 1, 2, 4, 5, 0, 7, 8], dtype=np.int32)
    log = EarlierSessions(lambda: [train, test]).remap_items(index)
    found = unfold(history_of(log, test, n=3))
    for s in range(len(test)):
        start, expected = test.times[test.offsets[s]], []
        for part in (train, test):
            for p in range(len(part)):
                end = part.times[part.offsets[p + 1] - 1]
                if test.users[s] and part.users[p] == test.users[s] and end < start:
                    clicks = [int(index[i]) for i in part.session(p) if index[i]]
                    expected.append((end, clicks, (start - end) / 1000))
        expected.sort(key=lambda session: session[0])  # stable: equal ends keep their order
        assert found[s] == [(clicks, age) for _, clicks, age in expected[-3:]]


def test_dwell_times_by_hand():
    """Clicks on unknown items are left out first, so that a dwell time spans them."""
    history = history_of(EarlierSessions.of(LOG), LOG)
    first = history.first[4]
    clicks = slice(history.offsets[first], history.offsets[first + 3])
    np.testing.assert_array_equal(
        history.dwells[clicks], [10.0, np.nan, 25.0, np.nan, 15.0, np.nan]
    )
    four = np.array([4.0], dtype=np.float32)
    given = SessionHistory.from_lists([[([1, 2], 5.0), EarlierClicks([3], 1.0, four)]])
    np.testing.assert_array_equal(given.dwells, [np.nan, np.nan, 4.0])


def test_a_later_session_never_changes_a_history():
    rng = np.random.default_rng(9)
    log = random_sessions(rng)
    before = unfold(history_of(EarlierSessions.of(log), log))
    for cut in (10, 30, 50):
        start = log.times[log.offsets[cut]]
        early = [s for s in range(len(log)) if log.times[log.offsets[s]] <= start]
        ends = log.times[log.offsets[1:] - 1]
        kept = log.take(np.flatnonzero(ends < start))
        found = unfold(history_of(EarlierSessions.of(kept), log))
        assert [found[s] for s in early] == [before[s] for s in early]


def test_sessions_name_their_log_and_hide_its_unseen_items():
    sessions = replace(LOG, earlier=EarlierSessions.of(LOG))
    support = LOG.support()
    support[[1, 7]] = 0
    part = sessions.slice(3, 5).mask_unseen_items(support)
    assert unfold(history_of(EarlierSessions.of(part), part)) == [
        [([2], 20.0)],
        [([2], 40.0), ([5, 6], 20.0), ([8], 5.0)],
    ]
    assert sessions.concatenate(sessions).earlier is None


def test_the_latest_clicks_of_a_long_session_are_read():
    n = MAX_EARLIER_CLICKS + 7
    log = sessions_of((1, [(t, 1 + t % 9) for t in range(n)]), (1, [(n + 5, 1), (n + 6, 2)]))
    ((clicks, age),) = unfold(history_of(EarlierSessions.of(log), log))[1]
    assert (len(clicks), age) == (MAX_EARLIER_CLICKS, 6.0)
    assert clicks == log.session(0)[7:].tolist()
    assert unfold(SessionHistory.from_lists([[(log.session(0), 6.0)]])) == [[(clicks, age)]]


def test_rows_of_a_history():
    history = SessionHistory.from_lists([[([1, 2], 5.0), ([3], 1.0)], [], [([4], 9.0)]])
    assert unfold(history.take(np.array([2, 0]))) == [[([4], 9.0)], [([1, 2], 5.0), ([3], 1.0)]]
    assert unfold(history.latest(1)) == [[([3], 1.0)], [], [([4], 9.0)]]
    assert unfold(history.hide(np.array([True, False, False]))) == [[], [], [([4], 9.0)]]
    batch = replace(SessionBatch.from_lists([[1], [2], [3]]), history=history)
    assert unfold(batch.take(slice(1, 3)).history) == [[], [([4], 9.0)]]
    assert unfold(SessionHistory.empty(2)) == [[], []]
