"""Repeat clicks: worked out by hand, and against a naive implementation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.analysis.repeat_clicks import DEPTH, repeat_clicks
from nextclick.core.sessions import Sessions
from reference.logs import N_ITEMS, clicks

ITEMS = np.arange(N_ITEMS + 1, dtype=np.int32)
CATEGORIES = np.array([0, 1, 1, 2, 2, 0, 3], dtype=np.int32)


def log_of(sessions, users, n_items=N_ITEMS):
    users = np.array(users, dtype=np.int32)
    return replace(Sessions.from_lists(sessions, n_items), users=users, n_users=9)


def test_one_user_by_hand():
    repeats = repeat_clicks(log_of([[1, 2], [3, 3], [1, 3, 4], [2, 5]], [7, 7, 7, 7]), ITEMS)
    # session 2: 3 is new; session 3: of 1, 3, 4 the 3 is one back and the 1 two;
    # session 4: of 2, 5 the 2 is three back
    assert repeats.sessions == 3
    assert repeats.shares[:3] == pytest.approx([1 / 9, 2 / 9, (2 / 3 + 1 / 2) / 3])
    assert repeats.shares[3:] == pytest.approx([repeats.shares[2]] * 7)
    assert (repeats.long_history_sessions, repeats.long_history_shares) == (0, None)


def test_what_others_clicked_does_not_count():
    repeats = repeat_clicks(log_of([[1], [1], [1], [1]], [1, 2, 1, 0]), ITEMS)
    assert repeats.sessions == 1
    assert repeats.shares == pytest.approx([1.0] * DEPTH)


def test_nobody_has_no_earlier_sessions():
    assert repeat_clicks(log_of([[1], [1]], [0, 0]), ITEMS) is None
    assert repeat_clicks(log_of([[1], [1]], [1, 2]), ITEMS) is None


def test_long_history_sessions_are_those_with_ten_before_them():
    sessions = [[1], *[[2]] * 9, [1, 3]]
    repeats = repeat_clicks(log_of(sessions, [4] * 11), ITEMS)
    assert repeats.long_history_sessions == 1
    assert repeats.long_history_shares == pytest.approx([0] * 9 + [0.5])


def test_categories_return_more_often_than_items():
    log = log_of([[1, 3], [2, 4]], [1, 1])
    assert repeat_clicks(log, ITEMS).shares[0] == 0
    assert repeat_clicks(log, CATEGORIES).shares[0] == 1


def test_sessions_without_users_are_rejected():
    with pytest.raises(ValueError, match="repeat clicks need users, but these sessions have none"):
        repeat_clicks(Sessions.from_lists([[1]]), ITEMS)


def naive(sessions, users, label_of):
    rows, long_history_rows = [], []
    for s, (session, user) in enumerate(zip(sessions, users, strict=True)):
        labels = {label_of[item] for item in session} - {0}
        before = [
            {label_of[item] for item in sessions[p]} for p in reversed(range(s)) if users[p] == user
        ]
        if user == 0 or not labels or not before:
            continue
        row = [len(labels & set().union(*before[:k])) / len(labels) for k in range(1, DEPTH + 1)]
        rows.append(row)
        if len(before) >= DEPTH:
            long_history_rows.append(row)
    return rows, long_history_rows


@given(st.lists(st.tuples(clicks, st.integers(0, 3)), max_size=60))
def test_against_a_naive_implementation(log):
    sessions, users = [s for s, _ in log], [u for _, u in log]
    for label_of in (ITEMS, CATEGORIES):
        repeats = repeat_clicks(log_of(sessions, users), label_of)
        rows, long_history_rows = naive(sessions, users, label_of)
        assert (repeats is None) == (not rows)
        if repeats is None:
            continue
        assert (repeats.sessions, repeats.long_history_sessions) == (
            len(rows),
            len(long_history_rows),
        )
        assert repeats.shares == pytest.approx(np.mean(rows, axis=0).tolist())
        if long_history_rows:
            assert repeats.long_history_shares == pytest.approx(
                np.mean(long_history_rows, axis=0).tolist()
            )
