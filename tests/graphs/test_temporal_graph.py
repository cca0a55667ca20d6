"""The temporal item graph compared with its definition in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from nextclick.graphs.edge_table import EdgeTable
from nextclick.graphs.temporal_graph import TemporalGraph, remap_graph_state
from reference.temporal_graph import exact_weights, in_units, pairs_of_day

N = 30


def random_days(n_days, seed=0, n_sessions=12, n_items=N):
    """Days of short sessions, with some unknown items and some empty days."""
    rng = np.random.default_rng(seed)
    days = []
    for _ in range(n_days):
        n = 0 if rng.random() < 0.1 else n_sessions
        days.append([rng.integers(0, n_items + 1, rng.integers(1, 6)).tolist() for _ in range(n)])
    return days


def log(day):
    return Sessions.from_lists(day, N)


def advanced(days, **options):
    graph = TemporalGraph(**options)
    for day in days:
        graph.advance(log(day))
    return graph


def units(graph):
    return {(i, j): n for i, j, n in zip(*map(np.ndarray.tolist, graph.edges()), strict=True)}


def neighbor_pairs(graph):
    neighbors = graph.neighbors()
    return {(int(i), j) for i in neighbors.items for j in neighbors.item_neighbors(i)}


def both_ways(pairs):
    return {(i, j) for i, j in pairs} | {(j, i) for i, j in pairs}


def test_two_days_by_hand():
    graph = advanced([[[1, 2, 3]], [[2, 1], [4, 4, 0, 1]]])
    assert units(graph) == {(1, 2): 3 << 39, (2, 3): 1 << 39}
    assert graph.neighbors().item_neighbors(1) == {2: 1.5}
    assert graph.neighbors().item_neighbors(3) == {}
    assert graph.n_neighbor_pairs == 1
    graph.advance(log([]))
    assert units(graph) == {(1, 2): 3 << 38, (2, 3): 1 << 38}
    assert graph.n_neighbor_pairs == 0
    assert graph.neighbors().items.tolist() == []
    assert graph.n_days == 3


def test_counts_by_hand():
    graph = advanced([[[1, 2, 1, 2], [2, 1]], []], edge="count")
    assert units(graph) == {(1, 2): 2 << 40}
    assert graph.neighbors().item_neighbors(2) == {1: 2.0}


@pytest.mark.parametrize("edge", ["binary", "count"])
@pytest.mark.parametrize("decay", [0.5, 0.25])
def test_after_30_days_it_equals_the_exact_definition(edge, decay):
    days = random_days(30)
    graph = advanced(days, edge=edge, decay=decay, threshold=1.0)
    exact = exact_weights(days, edge, Fraction(decay))
    assert units(graph) == in_units(exact)
    assert neighbor_pairs(graph) == both_ways({pair for pair, w in exact.items() if w >= 1})


def test_every_day_equals_the_graph_built_from_scratch():
    days = random_days(30, seed=1)
    graph = TemporalGraph()
    for n, day in enumerate(days):
        graph.advance(log(day))
        scratch = advanced(days[: n + 1])
        for actual, expected in zip(graph.edges(), scratch.edges(), strict=True):
            assert actual.tolist() == expected.tolist()
        assert neighbor_pairs(graph) == neighbor_pairs(scratch)


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_is_a_neighbor_if_and_only_if_it_was_seen_on_the_last_day(seed):
    days = random_days(200, seed)
    for day in days[:120]:
        day.append([1, 2])  # 120 days: with float64 it would stay a neighbor
    graph = TemporalGraph()
    for day in days:
        graph.advance(log(day))
        assert neighbor_pairs(graph) == both_ways(pairs_of_day(day))


def test_double_precision_is_not_enough():
    weight = 0.0
    for _ in range(60):
        weight = 1.0 + weight / 2
    assert weight / 2 >= 1.0  # a neighbor although not seen on the last day
    graph = advanced([[[1, 2]]] * 60 + [[]])
    assert graph.n_neighbor_pairs == 0
    assert exact_weights([[[1, 2]]] * 60 + [[]])[1, 2] < 1


def test_weights_are_exact_sums_rounded_down_once():
    days = random_days(150, seed=4, n_items=6)
    for edge in ("binary", "count"):
        assert units(advanced(days, edge=edge)) == in_units(exact_weights(days, edge))


@pytest.mark.parametrize("threshold", [0.5, 0.75, 2.0])
def test_a_threshold_selects_the_same_pairs_as_the_exact_sum(threshold):
    days = random_days(80, seed=5, n_items=8)
    graph = TemporalGraph(edge="count", threshold=threshold)
    for n, day in enumerate(days):
        graph.advance(log(day))
        exact = exact_weights(days[: n + 1], "count")
        assert neighbor_pairs(graph) == both_ways({p for p, w in exact.items() if w >= threshold})


@pytest.mark.parametrize("decay", [0.9, 0.3, 0.999])
def test_the_error_of_other_decays_is_small_and_never_positive(decay):
    days = random_days(60, seed=6, n_items=10)
    weights = units(advanced(days, edge="count", decay=decay))
    exact = exact_weights(days, "count", Fraction(round(decay * 2**32), 2**32))
    for pair, weight in exact.items():
        error = weight * 2**40 - weights.get(pair, 0)
        assert 0 <= error < 1 / (1 - decay)


def test_a_graph_restored_from_its_state_advances_identically():
    days = random_days(40, seed=7)
    whole = advanced(days, edge="count", threshold=0.5)
    state = advanced(days[:25], edge="count", threshold=0.5).state()
    for array in state.values():
        array.flags.writeable = False
    graph = TemporalGraph.from_state(state, edge="count", threshold=0.5)
    assert (
        graph.n_neighbor_pairs == advanced(days[:25], edge="count", threshold=0.5).n_neighbor_pairs
    )
    for day in days[25:]:
        graph.advance(log(day))
    assert units(graph) == units(whole)
    assert neighbor_pairs(graph) == neighbor_pairs(whole)
    assert graph.n_days == 40


def test_edges_of_weight_0_are_removed_from_memory():
    graph = TemporalGraph()
    rng = np.random.default_rng(0)
    sizes = []
    for day in range(300):
        items = 1 + day * 20 + rng.integers(0, 20, (50, 4))  # other items every day
        graph.advance(Sessions.from_lists(items.tolist(), 10_000))
        sizes.append(len(graph._table._keys))
    assert max(sizes[100:]) <= max(sizes[:100]) * 2
    assert len(graph.edges()[0]) <= 41 * 190


def test_the_cost_of_a_day_depends_on_its_log_only(monkeypatch):
    n_keys = []
    add, weights, edges = EdgeTable.add, EdgeTable.weights, EdgeTable.edges

    def spied_add(self, keys, amounts, day):
        n_keys.append(len(keys))
        add(self, keys, amounts, day)

    def spied_weights(self, keys, day):
        n_keys.append(len(keys))
        return weights(self, keys, day)

    rebuilt = []

    def spied_edges(self, day):
        rebuilt.append(day)
        return edges(self, day)

    monkeypatch.setattr(EdgeTable, "add", spied_add)
    monkeypatch.setattr(EdgeTable, "weights", spied_weights)
    monkeypatch.setattr(EdgeTable, "edges", spied_edges)
    rng = np.random.default_rng(0)
    graph, n_before = TemporalGraph(), 0
    for _ in range(60):
        day = Sessions.from_lists(rng.integers(1, 50_000, (500, 4)).tolist(), 50_000)
        n_keys.clear()
        graph.advance(day)
        if rebuilt[-1:] != [graph.n_days]:
            assert sum(n_keys) <= 2 * 1500 + n_before
        n_before = graph.n_neighbor_pairs
    # the table is rebuilt a few times, not every day
    assert len(rebuilt) <= 10


def test_a_weight_is_capped_at_the_largest_uint64():
    table = EdgeTable(2**32 - 1)
    key = np.array([5], np.int64)
    for day in range(4):
        table.add(key, np.array([2**63], np.uint64), day)
    assert table.weights(key, 3).tolist() == [2**64 - 1]


def test_an_unknown_edge_has_weight_0():
    assert EdgeTable(2**31).weights(np.array([7, 8], np.int64), 3).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edge": "often"}, "edge must be binary or count, got 'often'"),
        ({"decay": 1.0}, r"decay must be at least 2\*\*-32 and below 1, got 1.0"),
        ({"decay": 0.0}, r"decay must be at least 2\*\*-32 and below 1, got 0.0"),
        ({"threshold": 0.0}, r"threshold must be in 2\*\*-40..2\*\*20, got 0.0"),
    ],
)
def test_a_parameter_out_of_range_is_rejected(options, message):
    with pytest.raises(ConfigError, match=message):
        TemporalGraph(**options)


def test_a_renumbered_graph_equals_the_graph_of_renumbered_sessions():
    days = random_days(12, seed=5)
    index = np.random.default_rng(2).permutation(2 * N)[: N + 1].astype(np.int32)
    index[0] = 0
    expected = [[[int(index[i]) for i in s] for s in day] for day in days]
    state = advanced(days).state()
    copies = {name: array.copy() for name, array in state.items()}
    actual = remap_graph_state(state | {"other": np.arange(3)}, index)
    for name, array in advanced(expected).state().items():
        np.testing.assert_array_equal(actual[name], array)
        np.testing.assert_array_equal(state[name], copies[name])
    assert actual["other"].tolist() == [0, 1, 2]
    assert remap_graph_state({"other": index}, index)["other"] is index
