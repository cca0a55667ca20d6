import numpy as np
import pytest
import torch

from nextclick.models.ops.lessr_graph import lessr_graphs
from nextclick.models.ops.prefix_inputs import all_prefixes
from nextclick.models.ops.session_graphs import session_graph
from reference.session_graphs import adjacency, distinct, multigraph, shortcuts

SESSIONS = [[3, 1, 4, 1, 5, 9, 2, 1, 4], [6], [5, 3], [7, 7, 7], [5, 8, 9, 8, 9, 5], [2, 2, 1, 2]]


def padded(sessions):
    items = np.zeros((len(sessions), max(map(len, sessions))), np.int64)
    for row, session in zip(items, sessions, strict=True):
        row[: len(session)] = session
    return items


def drawn(seed, n_items=5):
    rng = np.random.default_rng(seed)
    sessions = [rng.integers(1, n_items + 1, rng.integers(1, 12)).tolist() for _ in range(9)]
    items = padded(sessions)
    cells = all_prefixes(items)
    return items, np.sort(rng.choice(cells, max(len(cells) // 2, 1), replace=False))


def batches():
    items = padded(SESSIONS)
    yield items, all_prefixes(items)
    yield items, all_prefixes(items)[[4, 8, 9, 11, 20]]
    for seed in range(20):
        yield drawn(seed)


def prefix_of(items, cell):
    row, t = divmod(int(cell), items.shape[1])
    return items[row, : t + 1].tolist()


def test_all_prefixes_end_before_the_first_padding():
    assert all_prefixes(padded([[3, 1], [4, 1, 5], [2]])).tolist() == [0, 1, 3, 4, 5, 6]
    assert all_prefixes(np.array([[3, 0, 4], [0, 1, 2]])).tolist() == [0]


def test_states_of_three_prefixes_by_hand():
    # 7; 7 → 8; 7 → 8 → 7: the second click changes both, the third both again
    graph = session_graph(np.array([[7, 8, 7]]), np.array([0, 1, 2]))
    (step,) = graph.steps
    assert step.own.tolist() == [0, 0, 1, 0, 1]
    assert step.predecessors.bounds.tolist() == [0, 0, 0, 1, 2, 3]
    assert step.predecessors.source.tolist() == [0, 1, 0]
    assert step.successors.bounds.tolist() == [0, 0, 1, 1, 2, 3]
    assert step.successors.source.tolist() == [1, 1, 0]
    assert step.predecessors.share.tolist() == step.successors.share.tolist() == [1.0, 1.0, 1.0]
    assert graph.clicks.bounds.tolist() == [0, 1, 3, 6]
    assert graph.clicks.states.tolist() == [0, 1, 2, 3, 4, 3]
    assert graph.last.tolist() == [0, 2, 3]
    assert graph.cells.tolist() == [0, 1, 2]


def test_a_repeated_edge_changes_shares_only_if_counted():
    items, cells = np.array([[1, 2, 1, 2, 1, 3]]), np.arange(6)
    (binary,) = session_graph(items, cells).steps
    assert len(binary.own) == 1 + 2 + 2 + 0 + 0 + 2
    (counted,) = session_graph(items, cells, counted=True).steps
    assert len(counted.own) == 1 + 2 + 2 + 2 + 2 + 2
    begin, end = counted.successors.bounds[-3:-1].tolist()  # of item 1 in the last prefix
    assert counted.successors.share[begin:end].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_prefixes_share_equal_states():
    items = padded([list(range(1, 31))])
    graph = session_graph(items, all_prefixes(items))
    assert len(graph.steps[0].own) == 2 * 30 - 1
    assert len(graph.clicks.states) == 30 * 31 / 2


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("edges", ["binary", "counted"])
def test_every_state_equals_that_of_its_prefix_alone(steps, edges):
    """A linear network over the shared states, against matrices of each prefix."""
    value = np.random.default_rng(1).normal(size=20)
    for items, cells in batches():
        graph = session_graph(items, cells, steps=steps, counted=edges == "counted")
        states = value[items.ravel()]
        assert len(graph.steps) == steps
        for step in graph.steps:
            new = 0.5 * states[step.own.numpy()]
            for neighbors, factor in ((step.predecessors, 2.0), (step.successors, -3.0)):
                bounds = neighbors.bounds.tolist()
                share, source = neighbors.share.numpy(), neighbors.source.numpy()
                for v in range(len(new)):
                    part = slice(bounds[v], bounds[v + 1])
                    new[v] += factor * (share[part] @ states[source[part]])
            states = new
        assert len(graph.clicks.bounds) == len(cells) + 1
        for p, cell in enumerate(cells):
            prefix = prefix_of(items, cell)
            into, out_of = adjacency(prefix, edges)
            expected = value[distinct(prefix)]
            for _ in range(steps):
                expected = 0.5 * expected + 2 * into @ expected - 3 * out_of @ expected
            bounds = graph.clicks.bounds
            clicks = graph.clicks.states[bounds[p] : bounds[p + 1]].numpy()
            nodes = [distinct(prefix).index(item) for item in prefix]
            np.testing.assert_allclose(states[clicks], expected[nodes], rtol=1e-5, atol=1e-5)
            assert graph.last[p] == clicks[-1]


def test_lessr_graphs_by_hand():
    # 7 → 8 → 7 → 7 → 9
    graph = lessr_graphs(np.array([[7, 8, 7, 7, 9]]), np.array([3, 4]))
    assert graph.nodes.tolist() == [0, 1, 0, 1, 4]
    assert graph.node_bounds.tolist() == [0, 2, 5]
    assert graph.last.tolist() == [0, 4]
    # first of each receiver, in the order 7, 7 (two edges each), 8, 8, 9; then the second of 7
    assert graph.edge_order.receivers.tolist() == [0, 2, 1, 3, 4]
    assert graph.edge_order.counts.tolist() == [5, 2]
    assert graph.edge_order.senders.tolist() == [1, 3, 0, 2, 2, 0, 2]
    assert graph.shortcuts.bounds.tolist() == [0, 2, 4, 6, 8, 11]
    assert graph.shortcuts.senders.tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 4]


def test_lessr_graphs_equal_those_of_each_prefix_alone():
    for items, cells in batches():
        graph = lessr_graphs(items, cells)
        edges = graph.edge_order
        item_of = items.ravel()[graph.nodes.numpy()]
        sent = {node: [] for node in range(len(item_of))}
        senders = iter(edges.senders.tolist())
        for n in edges.counts:
            for receiver in edges.receivers[:n].tolist():
                sent[receiver].append(item_of[next(senders)])
        assert list(senders) == []
        for p, cell in enumerate(cells):
            prefix = prefix_of(items, cell)
            nodes = range(*graph.node_bounds[p : p + 2].tolist())
            assert item_of[list(nodes)].tolist() == distinct(prefix)
            assert graph.last[p] == nodes[distinct(prefix).index(prefix[-1])]
            for node in nodes:
                assert sent[node] == multigraph(prefix)[item_of[node]]
                begin, end = graph.shortcuts.bounds[node : node + 2].tolist()
                neighbors = graph.shortcuts.senders[begin:end].tolist()
                assert all(neighbor in nodes for neighbor in neighbors)
                neighbor_items = item_of[neighbors].tolist()
                assert len(neighbor_items) == len(set(neighbor_items))
                assert set(neighbor_items) == shortcuts(prefix)[item_of[node]]


def test_no_prefixes_give_empty_graphs():
    items, nothing = padded(SESSIONS), np.empty(0, np.int64)
    assert len(session_graph(items, nothing).steps[0].own) == 0
    graph = lessr_graphs(items, nothing)
    assert len(graph.nodes) == len(graph.edge_order.senders) == len(graph.shortcuts.senders) == 0


def test_records_move_with_all_nested_tensors():
    items = padded(SESSIONS)
    graph = session_graph(items, all_prefixes(items), steps=2)
    moved = graph.to(torch.device("meta"))
    assert type(moved) is type(graph)
    assert moved.cells.device.type == moved.steps[1].successors.share.device.type == "meta"
    assert graph.cells.device.type == "cpu"
