"""Evaluation samples: by hand, compared with a simple loop, and without leakage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.batches import prefixes
from nextclick.batches.prefixes import PrefixBlock, count_samples, prefix_blocks
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from reference.eval_prefixes import Sample, samples

HUGE = 1 << 30


def unfold(blocks: list[PrefixBlock]) -> list[Sample]:
    rows = []
    for block in blocks:
        batch = block.batch
        for b in range(len(block)):
            n = int(batch.lengths[b])
            assert not batch.items[b, n:].any(), "padding must be 0"
            assert batch.gaps is None or not batch.gaps[b, n:].any()
            rows.append(
                Sample(
                    items=batch.items[b, :n].tolist(),
                    gaps=None if batch.gaps is None else batch.gaps[b, :n].tolist(),
                    user=None if batch.users is None else int(batch.users[b]),
                    target=int(block.targets[b]),
                    session=int(block.session[b]),
                    position=int(block.position[b]),
                )
            )
    return rows


def expand(sessions: Sessions, **changes: object) -> list[Sample]:
    options = {"mode": "all", "max_length": None, "max_cells": HUGE, "n_rows": HUGE} | changes
    return unfold(list(prefix_blocks(sessions, **options)))


@st.composite
def logs(draw: st.DrawFn) -> Sessions:
    lists = draw(st.lists(st.lists(st.integers(0, 4), max_size=7), max_size=6))
    log = Sessions.from_lists(lists, n_items=4)
    if draw(st.booleans()):
        steps = draw(st.lists(st.integers(0, 5000), min_size=log.n_events, max_size=log.n_events))
        # quarters of a second, so that float32 holds them exactly
        log = replace(log, times=250 * np.cumsum(steps, dtype=np.int64))
    if draw(st.booleans()):
        log = replace(log, users=np.arange(len(log), dtype=np.int32), n_users=len(log))
    return log


def test_hand_worked() -> None:
    log = Sessions(
        items=np.array([5, 0, 7, 3, 2, 4], dtype=np.int32),
        offsets=np.array([0, 4, 4, 6]),
        n_items=7,
        times=np.array([0, 1000, 2500, 3000, 9000, 9500]),
        users=np.array([8, 9, 0], dtype=np.int32),
        n_users=9,
    )
    [block] = prefix_blocks(log, mode="all", max_length=None, max_cells=HUGE, n_rows=HUGE)
    assert block.batch.items.tolist() == [[5, 0], [5, 0], [5, 7], [2, 0]]
    assert block.batch.lengths.tolist() == [1, 1, 2, 1]
    # item 7 came 2.5 s after item 5: the gap reaches over the unknown click
    assert block.batch.gaps.tolist() == [[0, 0], [0, 0], [0, 2.5], [0, 0]]
    assert block.batch.users.tolist() == [8, 8, 8, 0]
    assert block.targets.tolist() == [0, 7, 3, 4]
    assert block.session.tolist() == [0, 0, 0, 2]
    assert block.position.tolist() == [1, 2, 3, 1]
    dtypes = (block.batch.items.dtype, block.batch.lengths.dtype, block.batch.gaps.dtype)
    assert dtypes == (np.int32, np.int32, np.float32)
    assert (block.targets.dtype, block.session.dtype, block.position.dtype) == (
        np.int32,
        np.int64,
        np.int32,
    )


def test_the_first_click_of_a_cut_prefix_has_no_gap() -> None:
    log = replace(Sessions.from_lists([[1, 2, 3]]), times=np.array([0, 1000, 3000]))
    assert expand(log, max_length=1)[-1].gaps == [0.0]


def test_only_the_last_click() -> None:
    log = Sessions.from_lists([[1, 2, 3], [2], [3, 1]])
    assert [(s.items, s.target) for s in expand(log, mode="last")] == [([1, 2], 3), ([3], 1)]


@settings(max_examples=150, deadline=None)
@given(
    logs(),
    st.sampled_from(["all", "last"]),
    st.none() | st.integers(1, 4),
    st.integers(1, 20),
    st.integers(1, 5),
    st.integers(1, 9),
)
def test_samples_equal_those_of_a_simple_loop(
    log: Sessions, mode: str, max_length: int | None, max_cells: int, n_rows: int, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "CLICKS_PER_CHUNK", chunk)
        blocks = list(
            prefix_blocks(log, mode=mode, max_length=max_length, max_cells=max_cells, n_rows=n_rows)
        )
    assert unfold(blocks) == samples(log, mode, max_length)
    assert sum(map(len, blocks)) == count_samples(log, mode)
    for block in blocks:
        assert len(block) <= n_rows
        assert block.batch.items.size <= max_cells or len(block) == 1
        assert block.batch.items.shape[1] == max(block.batch.lengths.max(), 1)


@settings(max_examples=100, deadline=None)
@given(logs(), st.data())
def test_later_clicks_do_not_change_a_prefix(log: Sessions, data: st.DataObject) -> None:
    """Changing a click or its time changes no prefix that ends before it, not even its gaps."""
    if not log.n_events:
        return
    event = data.draw(st.integers(0, log.n_events - 1))
    items = log.items.copy()
    items[event] = data.draw(st.integers(0, 4))
    changed = replace(log, items=items)
    if log.times is not None:
        times = log.times.copy()
        times[event:] += data.draw(st.integers(1, 10**6))
        changed = replace(changed, times=times)
    session = int(np.searchsorted(log.offsets, event, side="right")) - 1
    position = event - int(log.offsets[session])
    for before, after in zip(expand(log), expand(changed), strict=True):
        if before.session != session or before.position <= position:
            assert (before.items, before.gaps) == (after.items, after.gaps)


def test_a_session_of_10_000_clicks_stays_within_bounds() -> None:
    n = 10_000
    log = Sessions.from_lists([[1 + i % 7 for i in range(n)], [1, 2]])
    n_samples = 0
    for block in prefix_blocks(log, mode="all", max_length=None, max_cells=100_000, n_rows=512):
        assert block.batch.items.size <= 100_000
        assert len(block) <= 512
        n_samples += len(block)
    assert n_samples == n


def test_a_slice_of_a_log_counts_sessions_from_its_own_start() -> None:
    log = Sessions.from_lists([[1, 2], [2, 3, 1], [3, 1]])
    assert expand(log.slice(1, 3)) == [
        replace(s, session=s.session - 1) for s in expand(log) if s.session > 0
    ]


def test_offsets_need_not_start_at_0() -> None:
    whole = Sessions.from_lists([[1, 2], [2, 3, 1]])
    tail = replace(whole, offsets=whole.offsets[1:])
    assert [(s.items, s.target, s.position) for s in expand(tail)] == [([2], 3, 1), ([2, 3], 1, 2)]


def test_select_keeps_whole_samples() -> None:
    log = replace(
        Sessions.from_lists([[1, 2, 3], [3, 1]]),
        times=np.array([0, 1000, 2000, 5000, 5500]),
        users=np.array([1, 2], dtype=np.int32),
    )
    [block] = prefix_blocks(log, mode="all", max_length=None, max_cells=HUGE, n_rows=HUGE)
    rows = np.array([False, True, True])
    assert unfold([block.select(rows)]) == unfold([block])[1:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "middle"}, "mode must be all, last or first, got 'middle'"),
        ({"max_length": 0}, "max_length must be at least 1, or None for no limit; got 0"),
        ({"max_cells": 0}, "max_cells must be at least 1, got 0"),
        ({"n_rows": 0}, "n_rows must be at least 1, got 0"),
    ],
)
def test_arguments_out_of_range(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(Sessions.from_lists([[1, 2]]), **changes)


def test_the_time_to_the_target_is_leaked_only_on_request():
    log = Sessions.from_lists([[1, 0, 2, 3], [0, 2], [4, 4]])
    seconds = np.array([0, 5, 7, 20, 100, 130, 200, 201.5])
    log = replace(log, times=(1000 * seconds).astype(np.int64))
    options = {"mode": "all", "max_length": None, "max_cells": HUGE, "n_rows": HUGE}
    (block,) = prefix_blocks(log, **options)
    assert block.batch.time_since_last_click is None
    (leaky,) = prefix_blocks(log, leak_target_time=True, **options)
    # since the last known click; 0 for an empty prefix
    assert leaky.batch.time_since_last_click.tolist() == [5.0, 7.0, 13.0, 0.0, 1.5]
    assert leaky.select(leaky.targets == 4).batch.time_since_last_click.tolist() == [1.5]
    with pytest.raises(ConfigError, match="leak_target_time needs sessions with times"):
        prefix_blocks(replace(log, times=None), leak_target_time=True, **options)
