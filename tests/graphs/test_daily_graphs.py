"""Temporal item graphs of all days of a log."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from nextclick.graphs.daily_graphs import DailyGraphs
from nextclick.graphs.temporal_graph import TemporalGraph

LOG = replace(
    Sessions.from_lists([[1, 2], [2, 3], [3, 1], [1, 2], [4, 1]]),
    blocks=np.array([5, 5, 6, 8, 9], np.int32),
)


def rows(neighbors):
    return {int(i): neighbors.item_neighbors(i) for i in neighbors.items}


def test_the_neighbors_of_a_day_come_from_earlier_days_only():
    days = DailyGraphs.from_sessions(LOG)
    assert rows(days.neighbors_before[5]) == {}
    assert rows(days.neighbors_before[6]) == {1: {2: 1.0}, 2: {1: 1.0, 3: 1.0}, 3: {2: 1.0}}
    assert rows(days.neighbors_before[7]) == {1: {3: 1.0}, 3: {1: 1.0}}
    assert rows(days.neighbors_before[8]) == {}  # block 7 has no clicks
    assert rows(days.neighbors_before[9]) == {1: {2: 1.125}, 2: {1: 1.125}}
    assert rows(days.neighbors_before[10]) == {1: {4: 1.0}, 4: {1: 1.0}}
    assert days.n_neighbor_pairs() == {5: 0, 6: 2, 7: 1, 8: 0, 9: 1, 10: 1}
    assert days.graph.n_days == 5


def test_advancing_the_graph_equals_building_it_from_the_whole_log():
    days = DailyGraphs.from_sessions(LOG.slice(0, 3))
    for start, stop in ((3, 3), (3, 4), (4, 5)):
        days.graph.advance(LOG.slice(start, stop))
    whole = DailyGraphs.from_sessions(LOG).graph
    for actual, expected in zip(days.graph.edges(), whole.edges(), strict=True):
        assert actual.tolist() == expected.tolist()


def test_options_reach_the_graph():
    days = DailyGraphs.from_sessions(LOG, edge="count", decay=0.25, threshold=0.25)
    graph = TemporalGraph(edge="count", decay=0.25, threshold=0.25)
    graph.advance(LOG.slice(0, 2))
    graph.advance(LOG.slice(2, 3))
    assert rows(days.neighbors_before[7]) == rows(graph.neighbors())
    assert days.n_neighbor_pairs()[7] == 3


@pytest.mark.parametrize("log", [replace(LOG, blocks=None), LOG.slice(0, 0)])
def test_sessions_without_times_are_rejected(log):
    with pytest.raises(ConfigError, match="a temporal item graph needs sessions with times"):
        DailyGraphs.from_sessions(log)


def test_blocks_from_stop_on_are_excluded():
    days = DailyGraphs.from_sessions(LOG, stop=8)
    assert days.n_neighbor_pairs() == {5: 0, 6: 2, 7: 1, 8: 0}
    longer = DailyGraphs.from_sessions(LOG, stop=12).n_neighbor_pairs()
    assert longer == {5: 0, 6: 2, 7: 1, 8: 0, 9: 1, 10: 1, 11: 0, 12: 0}
    empty = DailyGraphs.from_sessions(LOG, stop=4)
    assert (empty.n_neighbor_pairs(), empty.graph.n_days) == ({4: 0}, 0)


def test_by_block_yields_the_sessions_of_each_block():
    n_sessions = {block: len(sessions) for block, sessions in LOG.by_block(5, 11)}
    assert n_sessions == {5: 2, 6: 1, 7: 0, 8: 1, 9: 1, 10: 0}
    assert list(LOG.by_block(8, 8)) == []
    assert [s.tolist() for _, day in LOG.by_block(8, 10) for s in (day.items, day.blocks)] == [
        [1, 2], [8], [4, 1], [9],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no times, so they have no blocks of time"):
        next(replace(LOG, blocks=None).by_block(5, 6))
