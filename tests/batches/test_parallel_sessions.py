"""Session-parallel mini-batches compared with a simple reference."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.batches.parallel_sessions import LaneOrder
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, EmptyLogError
from reference import train_order

logs = st.lists(st.lists(st.integers(1, 30), max_size=9), min_size=1, max_size=30)


def steps_of(order, epoch=0, chunk_size=3):
    """Each step as a list of (input, target, starts) for each lane."""
    return [
        list(zip(*(array[k].tolist() for array in (p.inputs, p.targets, p.starts)), strict=True))
        for p in order.steps(epoch, chunk_size)
        for k in range(len(p))
    ]


def order_of(log, **changes):
    return LaneOrder(
        log if isinstance(log, Sessions) else Sessions.from_lists(log, n_items=30),
        **({"n_lanes": 2, "seed": 0} | changes),
    )


def test_hand_worked():
    order = order_of([[1, 2, 3], [4, 5], [6], [7, 8]])
    assert steps_of(order) == [
        [(1, 2, True), (4, 5, True)],
        [(2, 3, False), (7, 8, True)],
    ]


def test_lanes_stay_empty_when_no_sessions_are_left():
    order = order_of([[1, 2], [3, 4, 5, 6]])
    assert steps_of(order) == [
        [(1, 2, True), (3, 4, True)],
        [(0, 0, False), (4, 5, False)],
        [(0, 0, False), (5, 6, False)],
    ]
    assert [p.filled.tolist() for p in order.steps(0)] == [[2, 1, 1]]


def test_an_epoch_ends_when_fewer_than_at_least_lanes_have_a_session():
    order = order_of([[1, 2], [3, 4, 5, 6]], min_active_lanes=2)
    assert steps_of(order) == [[(1, 2, True), (3, 4, True)]]


@given(logs, st.integers(1, 6), st.integers(1, 7), st.integers(1, 2))
def test_steps_equal_those_of_the_simple_reference(log, n_lanes, chunk_size, min_active_lanes):
    log = [[1, 2], *log]
    min_active_lanes = min(min_active_lanes, n_lanes)
    order = order_of(log, n_lanes=n_lanes, min_active_lanes=min_active_lanes)
    assert steps_of(order, chunk_size=chunk_size) == train_order.lanes(
        log, n_lanes, min_active_lanes
    )


@given(logs, st.integers(1, 6))
def test_every_click_is_a_target_once_in_any_order(log, n_lanes):
    log = [[1, 2], *log]
    order = order_of(log, n_lanes=n_lanes, shuffle=True)
    samples = [(i, t) for step in steps_of(order) for i, t, _ in step if t]
    assert sorted(samples) == sorted(train_order.pairs(log))
    assert order.n_samples == len(samples)


def test_the_order_depends_on_seed_and_epoch():
    log = [[n, n + 1] for n in range(1, 29)]
    assert steps_of(order_of(log, shuffle=True)) == steps_of(order_of(log, shuffle=True))
    assert steps_of(order_of(log, shuffle=True)) != steps_of(order_of(log, shuffle=True), epoch=1)
    assert steps_of(order_of(log, shuffle=True)) != steps_of(order_of(log, shuffle=True, seed=1))
    assert steps_of(order_of(log)) == steps_of(order_of(log), epoch=1)


def test_more_than_a_million_clicks_a_second():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 10, 200_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = rng.integers(1, 1000, offsets[-1], dtype=np.int32)
    order = order_of(Sessions(items=items, offsets=offsets, n_items=1000), n_lanes=100)
    list(order_of([[1, 2], [1, 2]]).steps(0))  # compiles
    began = time.perf_counter()
    n_samples = sum(int(p.filled.sum()) for p in order.steps(0))
    assert n_samples / (time.perf_counter() - began) > 1e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_lanes": 0}, "batch_size must be at least 1 lane, got 0"),
        (
            {"n_lanes": 1, "min_active_lanes": 2},
            "batch_size must be at least 2 with in-batch negatives",
        ),
    ],
)
def test_lanes_out_of_range(changes, message):
    with pytest.raises(ConfigError, match=message):
        order_of([[1, 2]], **changes)


def test_nothing_to_predict():
    with pytest.raises(EmptyLogError, match="no session has two clicks"):
        order_of([[1]])
