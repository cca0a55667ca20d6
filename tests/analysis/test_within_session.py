"""Shares of the top items of a session: by hand, and against a naive implementation."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from nextclick.analysis.within_session import TOP, within_session
from nextclick.core.sessions import Sessions
from reference.logs import N_ITEMS, logs

ITEMS = np.arange(N_ITEMS + 1, dtype=np.int32)
CATEGORIES = np.array([0, 1, 1, 2, 2, 0, 3], dtype=np.int32)  # item 5 has none


def padded(*shares):
    return pytest.approx([*shares, *[0] * (TOP - len(shares))])


def test_two_sessions_by_hand():
    log = Sessions.from_lists([[1, 2, 1, 1], [3, 4]])
    within = within_session(log, ITEMS)
    # 3/4, 1/4 and 1/2, 1/2
    assert within.shares == padded(0.625, 0.375)
    # 1/4 four times and 1/2 twice
    assert within.shares_without_repeats == padded(0.375, 0.375, 0.125, 0.125)
    assert (within.sessions, within.clicks) == (2, 6)


def test_categories_by_hand():
    # categories 1 1 1 | 2 2 | nothing, for item 5 has none and 0 is unknown
    log = Sessions.from_lists([[1, 2, 1, 5], [3, 4], [5, 0]], N_ITEMS)
    within = within_session(log, CATEGORIES)
    assert within.shares == padded(1.0)
    assert (within.sessions, within.clicks) == (2, 5)


def test_only_ten_ranks_are_reported():
    within = within_session(Sessions.from_lists([[*range(1, 13), 12]]), np.arange(13))
    assert within.shares == pytest.approx([2 / 13] + [1 / 13] * 9)


def test_without_a_known_click_there_is_nothing():
    assert within_session(Sessions.from_lists([[0, 0], []], N_ITEMS), ITEMS) is None


def naive(log, label_of):
    rows = [[label_of[item] for item in session if label_of[item] > 0] for session in log]
    rows = [row for row in rows if row]
    if not rows:
        return None
    shares, differ = [], []
    for r in range(TOP):
        of_rank = [sorted(Counter(row).values(), reverse=True)[r : r + 1] for row in rows]
        shares.append(np.mean([sum(c) / len(row) for c, row in zip(of_rank, rows, strict=True)]))
        differ.append(np.mean([(r < len(row)) / len(row) for row in rows]))
    return shares, differ


@given(logs)
def test_against_a_naive_implementation(log):
    for label_of in (ITEMS, CATEGORIES):
        within = within_session(Sessions.from_lists(log, N_ITEMS), label_of)
        expected = naive(log, label_of)
        assert (within is None) == (expected is None)
        if within is not None:
            assert within.shares == pytest.approx(expected[0])
            assert within.shares_without_repeats == pytest.approx(expected[1])
            assert sum(within.shares) <= 1 + 1e-9
