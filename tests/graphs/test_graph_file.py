"""Graphs of all blocks in a file: the bits that were written, one graph in memory."""

import errno
from dataclasses import fields, replace

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.errors import OutputError
from nextclick.graphs.block_graphs import BlockGraphs
from nextclick.graphs.daily_graphs import DailyGraphs
from nextclick.graphs.graph_file import GraphFile
from nextclick.graphs.temporal_graph import TemporalGraph


def same(one, other):
    return all(
        getattr(one, field.name).dtype == getattr(other, field.name).dtype
        and np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(one)
    )


def log(n_blocks, n_items=50, seed=0):
    rng = np.random.default_rng(seed)
    sessions = rng.integers(1, n_items + 1, (n_blocks * 20, 5)).tolist()
    blocks = np.repeat(np.arange(n_blocks), 20).astype(np.int32)
    return replace(Sessions.from_lists(sessions, n_items), blocks=blocks)


@pytest.mark.parametrize("options", [{}, {"edge": "count", "decay": 0.7, "threshold": 0.3}])
def test_graphs_are_read_back_bit_for_bit_in_any_order(options):
    sessions, graph, expected = log(12), TemporalGraph(**options), {}
    expected[0] = graph.neighbors()
    for block, day in sessions.by_block(0, 12):
        graph.advance(day)
        expected[block + 1] = graph.neighbors()
    stored = DailyGraphs.from_sessions(sessions, **options).neighbors_before
    assert list(stored) == list(expected)
    for block in np.random.default_rng(1).permutation(13).tolist() * 2:
        assert same(stored[block], expected[block])
    assert stored.n_pairs() == {block: len(one.neighbors) // 2 for block, one in expected.items()}
    assert stored[3] is stored[3], "the last graph is in memory"


def test_a_graph_may_be_replaced():
    stored, graphs = GraphFile(), DailyGraphs.from_sessions(log(3)).neighbors_before
    stored[5] = graphs[2]
    stored[5] = graphs[3]
    stored[6] = graphs[0]
    assert same(stored[5], graphs[3])
    assert len(stored) == 2
    with pytest.raises(KeyError):
        _ = stored[7]


def test_a_full_disk_is_named(monkeypatch):
    stored, graphs = GraphFile(), DailyGraphs.from_sessions(log(2)).neighbors_before

    class Full:
        def seek(self, place):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stored, "_file", Full())
    with pytest.raises(
        OutputError,
        match=r"the item graphs of the blocks of time cannot be "
        r"written: No space left on device; name another folder with TMPDIR",
    ):
        stored[1] = graphs[1]


def test_the_open_block_in_parts_equals_the_block_at_once():
    sessions = log(4)
    parts, at_once = BlockGraphs(TemporalGraph(edge="count")), TemporalGraph(edge="count")
    for block, day in sessions.by_block(0, 4):
        before = parts.neighbors()
        for begin, end in ((0, 3), (3, 3), (3, 20)):
            parts.add(day.slice(begin, end))
            assert same(parts.neighbors(), before)
        assert parts.n_open_pairs > 0, block
        parts.close()
        at_once.advance(day)
        assert same(parts.neighbors(), at_once.neighbors())
        assert same(parts.earlier_neighbors(), before)
    state = parts.state()
    restored = BlockGraphs.from_state(state, {"edge": "count"})
    for name, array in restored.state().items():
        assert array.tolist() == state[name].tolist(), name
