import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.data.filters import apply_filters, count
from nextclick.data.options import FilterOptions
from nextclick.data.sessionize import SessionTable

logs = st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=25)


def table_of(sessions, users=None):
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sessions])]).astype(np.int64)
    items = np.array([i for s in sessions for i in s], dtype=np.int32)
    named = None if users is None else np.array(users, dtype=np.int32)
    return SessionTable(items, None, offsets, named, np.ones(len(items), dtype=np.bool_))


def left(table):
    bounds = zip(table.offsets[:-1], table.offsets[1:], strict=True)
    found = [table.items[a:b][table.keep[a:b]].tolist() for a, b in bounds]
    return [session for session in found if session]


def one_pass(sessions, support, length):
    """The papers: short sessions, rare items, short sessions."""
    sessions = [s for s in sessions if len(s) >= length]
    clicks = Counter(i for s in sessions for i in s)
    sessions = [[i for i in s if clicks[i] >= support] for s in sessions]
    return [s for s in sessions if len(s) >= length]


def until_stable(sessions, support, length):
    while (smaller := one_pass(sessions, support, length)) != sessions:
        sessions = smaller
    return sessions


@given(logs, st.integers(1, 6), st.integers(1, 4))
def test_one_pass_is_the_papers(sessions, support, length):
    table = table_of(sessions)
    options = FilterOptions(min_session_length=length, iterate=False)
    apply_filters(table, options, support, n_items=7, n_users=0)
    assert left(table) == one_pass([s for s in sessions if s], support, length)


@given(logs, st.integers(1, 6), st.integers(1, 4))
def test_iterated_is_the_fixed_point(sessions, support, length):
    table = table_of(sessions)
    apply_filters(table, FilterOptions(min_session_length=length), support, n_items=7, n_users=0)
    assert left(table) == until_stable([s for s in sessions if s], support, length)


def test_one_pass_and_fixed_point_differ():
    # dropping item 3 shortens the last session, which takes a click from item 2
    sessions = [[1, 2], [1, 2], [2, 3]]
    for iterate, expected in ((False, [[1, 2], [1, 2]]), (True, [])):
        table = table_of(sessions)
        apply_filters(table, FilterOptions(iterate=iterate), 3 if iterate else 2, 4, 0)
        assert left(table) == expected


@settings(max_examples=30)
@given(logs, st.integers(2, 4), st.data())
def test_after_the_filters_every_condition_holds(sessions, least, data):
    users = data.draw(st.lists(st.integers(-1, 3), min_size=len(sessions), max_size=len(sessions)))
    table = table_of(sessions, users)
    options = FilterOptions(min_user_sessions=least, collapse_repeats=True, max_session_length=6)
    apply_filters(table, options, 2, n_items=7, n_users=4)
    rest = left(table)
    assert all(2 <= len(s) <= 6 for s in rest)
    assert all(n >= 2 for n in Counter(i for s in rest for i in s).values())
    assert all(a != b for s in rest for a, b in itertools.pairwise(s))
    alive = [
        bool(table.keep[a:b].any())
        for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)
    ]
    of_user = Counter(u for u, is_alive in zip(users, alive, strict=True) if is_alive)
    assert -1 not in of_user
    assert all(n >= least for n in of_user.values())


def test_each_step_says_what_it_left():
    table = table_of([[1, 2], [1, 2], [1, 3], [4]], users=[0, 0, 1, 1])
    steps = apply_filters(table, FilterOptions(), 2, n_items=5, n_users=2)
    assert [(s.left.events, s.left.sessions, s.left.users, s.left.items) for s in steps] == [
        (6, 3, 2, 3),
        (5, 3, 2, 2),
        (4, 2, 1, 2),
    ]
    assert steps[1].name == "items of fewer than 2 clicks dropped"


@pytest.mark.parametrize("users", [None, [-1, -1]])
def test_nobody_is_counted_where_nobody_is_named(users):
    assert count(table_of([[1], [2]], users), 3, 0).users == 0
