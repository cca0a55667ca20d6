"""Training batches: every click is a target once, little padding, reproducible order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.batches.session_order import SessionOrder
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, EmptyLogError

logs = st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=1, max_size=40)


def long_log(n_sessions=3000, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(0.25, n_sessions) + 1, 60)
    return Sessions.from_lists([rng.integers(1, 100, n).tolist() for n in lengths], n_items=100)


def numbered(sessions):
    """The same sessions with a distinct item for every click."""
    counter = iter(range(1, 10**6))
    return [[next(counter) for _ in s] for s in sessions]


def samples(batch):
    """(the row up to the input, the target) of every sample of a batch."""
    rows, steps = np.divmod(batch.where, batch.items.shape[1])
    return [
        (tuple(batch.items[r, : t + 1].tolist()), int(target))
        for r, t, target in zip(rows, steps, batch.targets, strict=True)
    ]


def order_of(log, **changes):
    return SessionOrder(
        log if isinstance(log, Sessions) else Sessions.from_lists(log, n_items=10**6),
        **({"batch_size": 16, "max_length": None, "seed": 0} | changes),
    )


def test_every_click_except_the_first_is_a_target():
    plan = order_of([[1, 2, 3], [4, 5], [6]], shuffle=False).plan(0)
    assert len(plan) == 1
    batch = plan[0]
    assert batch.items.tolist() == [[1, 2], [4, 0]]
    assert batch.where.tolist() == [0, 1, 2]
    assert batch.targets.tolist() == [2, 3, 5]
    assert {array.dtype for array in (batch.items, batch.where, batch.targets)} == {
        np.dtype(np.int64)
    }


def test_windows_of_a_long_session_overlap_by_half():
    batch = order_of([[1, 2, 3, 4, 5, 6, 7, 8]], max_length=4, shuffle=False).plan(0)[0]
    assert batch.items.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 0]]
    assert batch.where.tolist() == [0, 1, 2, 3, 6, 7, 10]
    assert batch.targets.tolist() == [2, 3, 4, 5, 6, 7, 8]


@given(
    logs,
    st.integers(1, 40),
    st.one_of(st.none(), st.integers(1, 9)),
    st.booleans(),
    st.integers(1, 4),
)
def test_every_click_is_a_target_once_with_enough_input(log, size, max_length, shuffle, window):
    log = [[*s, 1, 2] if n == 0 else s for n, s in enumerate(numbered(log))]
    order = order_of(
        log, batch_size=size, max_length=max_length, shuffle=shuffle, length_window=window
    )
    plan = order.plan(3)
    inputs = {target: prefix for k in range(len(plan)) for prefix, target in samples(plan[k])}
    expected = Counter(click for s in log for click in s[1:])
    assert Counter(t for k in range(len(plan)) for _, t in samples(plan[k])) == expected
    assert order.n_samples == sum(expected.values())
    limit = max_length or 200
    for session in log[1:]:
        for position, click in enumerate(session[1:], start=1):
            prefix = inputs[click]
            assert prefix == tuple(session[position - len(prefix) : position])
            assert len(prefix) <= limit
            assert len(prefix) >= min(position, limit // 2 + 1)


def test_clicks_on_unknown_items_are_ignored():
    plan = order_of([[1, 0, 2, 0], [0, 3], [0, 0]], shuffle=False).plan(0)
    assert [samples(plan[k]) for k in range(len(plan))] == [[((1,), 2)]]


def test_batches_have_about_batch_size_prefixes_and_little_padding():
    order = order_of(long_log(), batch_size=128)
    plan = order.plan(0)
    sizes = [len(plan[k]) for k in range(len(plan))]
    cells = sum(plan[k].items.size for k in range(len(plan)))
    assert max(sizes) <= 128
    assert np.mean(sizes) > 115
    assert sum(sizes) / cells > 0.95


def test_windows_of_time_group_sessions_by_length():
    sessions = long_log()
    exact = order_of(sessions, batch_size=64, shuffle=False).plan(0)
    plan = order_of(sessions, batch_size=64, shuffle=False, length_window=8).plan(0)

    def padding(plan):
        cells = sum(plan[k].items.size for k in range(len(plan)))
        return 1 - sum(len(plan[k]) for k in range(len(plan))) / cells

    assert padding(plan) < 0.25 < 0.6 < padding(exact)
    # a session is at most two windows of batches from its place in time
    step_of = {int(s): k for k in range(len(plan)) for s in plan[k].session}
    exact_step = {int(s): k for k in range(len(exact)) for s in exact[k].session}
    moved = [abs(step_of[s] - exact_step[s]) for s in exact_step]
    assert 0 < np.mean(moved) < 8 and max(moved) < 16
    # the lengths of consecutive steps are in random order
    widths = np.array([plan[k].items.shape[1] for k in range(len(plan) - len(plan) % 8)])
    rising = (np.diff(widths.reshape(-1, 8)) > 0).mean()
    assert 0.2 < rising < 0.8


def test_windows_of_time_keep_the_order_of_blocks():
    log = long_log(300)
    blocks = np.sort(np.random.default_rng(1).integers(0, 5, 300)).astype(np.int32)
    sessions = replace(log, blocks=blocks)
    plan = order_of(sessions, batch_size=16, shuffle=False, length_window=4).plan(0)
    steps = [plan[k].block for k in range(len(plan))]
    assert steps == sorted(steps)


def test_a_row_larger_than_batch_size_is_a_batch():
    plan = order_of([list(range(1, 12)), [1, 2]], batch_size=4, shuffle=False).plan(0)
    assert [len(plan[k]) for k in range(len(plan))] == [10, 1]


def test_the_order_depends_on_seed_and_epoch():
    def first(seed, epoch):
        return order_of(long_log(), batch_size=64, seed=seed).plan(epoch)[0].items.tolist()

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)


def test_batches_can_be_built_in_any_order():
    plan = order_of(long_log(300), batch_size=64).plan(0)
    forwards = [plan[k].targets.tolist() for k in range(len(plan))]
    assert [plan[k].targets.tolist() for k in reversed(range(len(plan)))] == forwards[::-1]


def test_lengths_are_distributed_over_the_epoch():
    plan = order_of(long_log(), batch_size=64).plan(0)
    widths = np.array([plan[k].items.shape[1] for k in range(len(plan))])
    half = len(widths) // 2
    assert abs(widths[:half].mean() - widths[half:].mean()) < widths.std()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"length_window": 0}, "length_window must be at least 1, got 0"),
        ({"max_length": -1}, "max_length must be at least 1, got -1"),
    ],
)
def test_sizes_out_of_range(changes, message):
    with pytest.raises(ConfigError, match=message):
        order_of([[1, 2]], **changes)


def test_nothing_to_predict():
    with pytest.raises(EmptyLogError, match="no session has two clicks on known items"):
        order_of([[1], [0, 2]])


def blocked_log(n_sessions=600):
    blocks = np.sort(np.random.default_rng(1).integers(0, 9, n_sessions)).astype(np.int32)
    return replace(long_log(n_sessions), blocks=blocks)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_batch_has_sessions_of_one_block(shuffle):
    log = blocked_log()
    plan = order_of(log, batch_size=64, shuffle=shuffle).plan(0)
    blocks = [set(log.blocks[plan[k].session]) for k in range(len(plan))]
    assert [{plan[k].block} for k in range(len(plan))] == blocks
    session = np.concatenate([plan[k].session for k in range(len(plan))])
    assert sorted(session.tolist()) == list(range(len(log)))
    assert max(len(plan[k]) for k in range(len(plan))) <= 64
    block_order = [plan[k].block for k in range(len(plan))]
    assert (block_order == sorted(block_order)) != shuffle


def test_batches_of_blocks_are_full_and_have_little_padding():
    plan = order_of(blocked_log(3000), batch_size=64).plan(0)
    n = sum(len(plan[k]) for k in range(len(plan)))
    assert len(plan) <= 1.4 * n / 64
    cells = sum(plan[k].items.size for k in range(len(plan)))
    assert cells < 1.25 * n


def test_a_single_block_gives_the_same_plan_as_no_blocks():
    plain, one = long_log(500), replace(long_log(500), blocks=np.zeros(500, np.int32))
    plans = [order_of(log, batch_size=64).plan(2) for log in (plain, one)]
    assert plans[0].order.tolist() == plans[1].order.tolist()
    assert plans[0].bounds.tolist() == plans[1].bounds.tolist()
    assert (plans[0][0].block, plans[1][0].block) == (None, 0)
