import itertools
from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.data.click_counts import ClickCounts
from nextclick.data.click_passes import remaining_lengths
from nextclick.data.filters import apply_filters
from nextclick.data.options import FilterOptions
from nextclick.data.session_table import SessionTable

logs = st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=25)


def table_of(sessions, users=None):
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sessions])]).astype(np.int64)
    items = np.array([i for s in sessions for i in s], dtype=np.int32)
    codes = None if users is None else np.array(users, dtype=np.int32)
    return SessionTable(items, None, offsets, codes, np.ones(len(items), dtype=np.bool_))


def remaining_sessions(table):
    bounds = zip(table.offsets[:-1], table.offsets[1:], strict=True)
    sessions = [table.items[a:b][table.keep[a:b]].tolist() for a, b in bounds]
    return [session for session in sessions if session]


def one_pass(sessions, support, length):
    """As in the papers: short sessions, rare items, short sessions."""
    sessions = [s for s in sessions if len(s) >= length]
    clicks = Counter(i for s in sessions for i in s)
    sessions = [[i for i in s if clicks[i] >= support] for s in sessions]
    return [s for s in sessions if len(s) >= length]


def until_stable(sessions, support, length):
    while (smaller := one_pass(sessions, support, length)) != sessions:
        sessions = smaller
    return sessions


@given(logs, st.integers(1, 6), st.integers(1, 4))
def test_one_pass_follows_the_papers(sessions, support, length):
    table = table_of(sessions)
    options = FilterOptions(min_session_length=length, iterate=False)
    apply_filters(ClickCounts(table, 7), options, support, n_users=0)
    assert remaining_sessions(table) == one_pass([s for s in sessions if s], support, length)


@given(logs, st.integers(1, 6), st.integers(1, 4))
def test_iteration_reaches_the_fixed_point(sessions, support, length):
    table = table_of(sessions)
    apply_filters(
        ClickCounts(table, 7), FilterOptions(min_session_length=length), support, n_users=0
    )
    assert remaining_sessions(table) == until_stable([s for s in sessions if s], support, length)


def test_one_pass_and_fixed_point_differ():
    # without item 3 the last session is too short, so item 2 loses a click
    sessions = [[1, 2], [1, 2], [2, 3]]
    for iterate, expected in ((False, [[1, 2], [1, 2]]), (True, [])):
        table = table_of(sessions)
        apply_filters(ClickCounts(table, 4), FilterOptions(iterate=iterate), 3 if iterate else 2, 0)
        assert remaining_sessions(table) == expected


@settings(max_examples=30)
@given(logs, st.integers(2, 4), st.data())
def test_after_the_filters_every_condition_holds(sessions, min_sessions, data):
    users = data.draw(st.lists(st.integers(-1, 3), min_size=len(sessions), max_size=len(sessions)))
    table = table_of(sessions, users)
    options = FilterOptions(
        min_user_sessions=min_sessions, collapse_repeats=True, max_session_length=6
    )
    apply_filters(ClickCounts(table, 7), options, 2, n_users=4)
    rest = remaining_sessions(table)
    assert all(2 <= len(s) <= 6 for s in rest)
    assert all(n >= 2 for n in Counter(i for s in rest for i in s).values())
    assert all(a != b for s in rest for a, b in itertools.pairwise(s))
    alive = [
        bool(table.keep[a:b].any())
        for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)
    ]
    n_sessions = Counter(u for u, is_alive in zip(users, alive, strict=True) if is_alive)
    assert -1 not in n_sessions
    assert all(n >= min_sessions for n in n_sessions.values())


def test_each_step_has_the_counts_after_it():
    table = table_of([[1, 2], [1, 2], [1, 3], [4]], users=[0, 0, 1, 1])
    steps = apply_filters(ClickCounts(table, 5), FilterOptions(), 2, n_users=2)
    assert [astuple(step.counts) for step in steps] == [
        (6, 3, 2, 3),
        (5, 3, 2, 2),
        (4, 2, 1, 2),
    ]
    assert steps[1].name == "items of fewer than 2 clicks dropped"


@pytest.mark.parametrize("users", [None, [-1, -1]])
def test_anonymous_sessions_have_no_user(users):
    assert ClickCounts(table_of([[1], [2]], users), 3).counts(0).users == 0


@given(st.lists(st.lists(st.booleans(), max_size=6), max_size=20))
def test_remaining_clicks_are_counted_by_session(sessions):
    keep = np.array([kept for session in sessions for kept in session], dtype=np.bool_)
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sessions])]).astype(np.int64)
    expected = [sum(session) for session in sessions]
    assert remaining_lengths(keep, offsets).tolist() == expected


drops = st.tuples(st.sampled_from(["sessions", "items", "repeats"]), st.integers(0, 2**32 - 1))


def repeated_clicks(table):
    """Whether each click is on the item of the previous remaining click of its session."""
    repeated = np.zeros(len(table.items), bool)
    for start, stop in itertools.pairwise(table.offsets.tolist()):
        previous = None
        for click in range(start, stop):
            if table.keep[click]:
                repeated[click] = table.items[click] == previous
                previous = table.items[click]
    return repeated


@given(logs, st.lists(st.tuples(st.booleans(), drops), max_size=5), st.booleans())
def test_counts_after_drops_are_those_of_a_new_count(sessions, steps, is_partial):
    table = table_of(sessions, users=[s % 3 - 1 for s in range(len(sessions))])
    session = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    counted = np.arange(len(table)) % 4 > 0 if is_partial else None
    in_counted = np.ones(len(session), bool) if counted is None else counted[session]
    clicks = ClickCounts(table, 7, counted)
    for is_counted_before, (kind, seed) in steps:
        if is_counted_before:
            clicks.counts(2)
        size = {"sessions": len(table), "items": 7, "repeats": len(table.items)}[kind]
        dropped = np.random.default_rng(seed).random(size) < 0.2
        if kind == "repeats":
            dropped = repeated_clicks(table)
        groups = {"sessions": session, "items": table.items, "repeats": np.arange(len(session))}
        expected = table.keep & ~(dropped[groups[kind]] & in_counted)
        if kind == "sessions":
            clicks.drop_sessions(dropped)
        elif kind == "items":
            clicks.drop_items(dropped)
        else:
            clicks.drop_repeats()
        assert table.keep.tolist() == expected.tolist()
    again = ClickCounts(table, 7, counted)
    assert clicks.counts(2) == again.counts(2)
    assert clicks.lengths.tolist() == again.lengths.tolist()
    assert clicks.support.tolist() == again.support.tolist()
