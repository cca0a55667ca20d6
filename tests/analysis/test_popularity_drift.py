"""Popularity drift: worked out by hand, against a naive implementation, flat without change."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.analysis.popularity_drift import popularity_drift
from nextclick.core.sessions import MS_PER_DAY, Sessions


def log_of(sessions, days, n_items):
    log = Sessions.from_lists(sessions, n_items)
    return replace(log, times=np.repeat(np.array(days) * MS_PER_DAY, log.lengths()))


def test_three_days_by_hand():
    # day 0: halves (1, 0) and (1, 0); day 1: (1, 1) and (0, 1); day 3: as day 0
    sessions = [[1], [1, 1], [1, 2], [2], [1], [1]]
    drift = popularity_drift(log_of(sessions, [0, 0, 1, 1, 3, 3], 2))
    half = np.sqrt(0.5)
    assert drift.lags == [0, 1, 2, 3]
    assert drift.pairs == [3, 1, 1, 1]
    # of day 0 with day 1: cos((1,0),(0,1)) = 0 and cos((1,0),(1,1)) = √½
    assert drift.similarity == pytest.approx([(1 + half + 1) / 3, half / 2, half / 2, 1])
    assert (drift.days, drift.skipped_days) == (3, 0)


def test_other_items_every_day():
    drift = popularity_drift(log_of([[1], [1], [2], [2], [3], [3]], [5, 5, 6, 6, 7, 7], 3))
    assert drift.similarity == pytest.approx([1, 0, 0])


def test_sessions_out_of_order_count_for_their_day():
    sessions, days = [[1, 2], [2], [1], [3], [1, 3], [2]], [4, 4, 4, 4, 5, 5]
    ordered = popularity_drift(log_of(sessions, days, 3))
    places = [4, 0, 1, 5, 2, 3]  # within a day as before, so the halves are the same
    shuffled = log_of([sessions[p] for p in places], [days[p] for p in places], 3)
    assert popularity_drift(shuffled) == ordered


def test_days_of_few_clicks_are_left_out():
    busy = [[1, 2] * 100, [1] * 100]
    drift = popularity_drift(log_of([*busy, [3], *busy], [0, 0, 1, 2, 2], 3))
    assert (drift.days, drift.skipped_days) == (2, 1)
    assert drift.lags == [0, 2]


def test_constant_popularity_is_flat_however_few_the_clicks():
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 201)
    sessions = rng.choice(np.arange(1, 201), (6000, 3), p=weights / weights.sum()).tolist()
    drift = popularity_drift(log_of(sessions, np.repeat(np.arange(30), 200), 200))
    assert drift.lags == list(range(15))
    assert drift.similarity[0] < 0.97  # sampling noise alone …
    assert drift.similarity == pytest.approx([drift.similarity[0]] * 15, abs=0.02)  # … everywhere


def test_against_a_naive_implementation():
    rng = np.random.default_rng(1)
    days = np.sort(rng.integers(0, 20, 300))
    sessions = [rng.integers(0, 9, rng.integers(1, 5)).tolist() for _ in days]
    drift = popularity_drift(log_of(sessions, days, 8))

    def counts(day, half):
        mine = [session for session, d in zip(sessions, days, strict=True) if d == day][half::2]
        return np.array([sum(s.count(item) for s in mine) for item in range(1, 9)], dtype=float)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for lag, similarity in zip(drift.lags, drift.similarity, strict=True):
        pairs = [(d, d + lag) for d in range(20) if d + lag < 20]
        values = [
            (cosine(counts(d, 0), counts(e, 1)) + cosine(counts(d, 1), counts(e, 0))) / 2
            for d, e in pairs
        ]
        assert similarity == pytest.approx(np.mean(values), abs=1e-6)


def test_one_day_or_unknown_items_cannot_be_compared():
    assert popularity_drift(log_of([[1], [1]], [0, 0], 1)) is None
    assert popularity_drift(log_of([[0], [0], [1], [1]], [0, 0, 1, 1], 1)) is None


def test_drift_needs_times():
    with pytest.raises(
        ValueError, match="popularity drift needs times, but these sessions have none"
    ):
        popularity_drift(Sessions.from_lists([[1]]))
