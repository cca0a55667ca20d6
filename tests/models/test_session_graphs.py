import numpy as np
import pytest

from nextclick.models.ops.session_graphs import prefix_graphs, shared_graphs, whole_prefixes
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
    where = whole_prefixes(items)
    return items, np.sort(rng.choice(where, max(len(where) // 2, 1), replace=False))


def batches():
    items = padded(SESSIONS)
    yield items, whole_prefixes(items)
    yield items, whole_prefixes(items)[[4, 8, 9, 11, 20]]
    for seed in range(20):
        yield drawn(seed)


def prefix_of(items, cell):
    row, t = divmod(int(cell), items.shape[1])
    return items[row, : t + 1].tolist()


def test_whole_prefixes_end_before_the_first_padding():
    assert whole_prefixes(padded([[3, 1], [4, 1, 5], [2]])).tolist() == [0, 1, 3, 4, 5, 6]
    assert whole_prefixes(np.array([[3, 0, 4], [0, 1, 2]])).tolist() == [0]


def test_states_of_three_prefixes_by_hand():
    # 7; 7 → 8; 7 → 8 → 7: the second click changes both, the third both again
    graph = shared_graphs(np.array([[7, 8, 7]]), np.array([0, 1, 2]))
    assert graph["own_1"].tolist() == [0, 0, 1, 0, 1]
    assert graph["before_bounds_1"].tolist() == [0, 0, 0, 1, 2, 3]
    assert graph["before_1"].tolist() == [0, 1, 0]
    assert graph["after_bounds_1"].tolist() == [0, 0, 1, 1, 2, 3]
    assert graph["after_1"].tolist() == [1, 1, 0]
    assert graph["before_share_1"].tolist() == graph["after_share_1"].tolist() == [1.0, 1.0, 1.0]
    assert graph["click_bounds"].tolist() == [0, 1, 3, 6]
    assert graph["clicks"].tolist() == [0, 1, 2, 3, 4, 3]
    assert graph["last"].tolist() == [0, 2, 3]
    assert graph["cells"].tolist() == [0, 1, 2]


def test_a_repeated_edge_changes_nothing_if_binary_and_its_share_if_counted():
    items, where = np.array([[1, 2, 1, 2, 1, 3]]), np.arange(6)
    binary = shared_graphs(items, where)
    assert len(binary["own_1"]) == 1 + 2 + 2 + 0 + 0 + 2
    counted = shared_graphs(items, where, counted=True)
    assert len(counted["own_1"]) == 1 + 2 + 2 + 2 + 2 + 2
    begin, end = counted["after_bounds_1"][-3:-1]  # of item 1 in the last prefix
    assert counted["after_share_1"][begin:end].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_prefixes_share_what_does_not_differ():
    items = padded([list(range(1, 31))])
    graph = shared_graphs(items, whole_prefixes(items))
    assert len(graph["own_1"]) == 2 * 30 - 1
    assert len(graph["clicks"]) == 30 * 31 / 2


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("edges", ["binary", "counted"])
def test_every_state_is_that_of_its_prefix_alone(steps, edges):
    """A linear network over the shared states, against matrices of each prefix."""
    value = np.random.default_rng(1).normal(size=20)
    for items, where in batches():
        graph = shared_graphs(items, where, steps=steps, counted=edges == "counted")
        states = value[items.ravel()]
        for k in range(1, steps + 1):
            new = 0.5 * states[graph[f"own_{k}"]]
            for name, factor in (("before", 2.0), ("after", -3.0)):
                bounds, share = graph[f"{name}_bounds_{k}"], graph[f"{name}_share_{k}"]
                for v in range(len(new)):
                    part = slice(bounds[v], bounds[v + 1])
                    new[v] += factor * (share[part] @ states[graph[f"{name}_{k}"][part]])
            states = new
        assert len(graph["click_bounds"]) == len(where) + 1
        for p, cell in enumerate(where):
            prefix = prefix_of(items, cell)
            into, out_of = adjacency(prefix, edges)
            expected = value[distinct(prefix)]
            for _ in range(steps):
                expected = 0.5 * expected + 2 * into @ expected - 3 * out_of @ expected
            clicks = graph["clicks"][graph["click_bounds"][p] : graph["click_bounds"][p + 1]]
            at = [distinct(prefix).index(item) for item in prefix]
            np.testing.assert_allclose(states[clicks], expected[at], rtol=1e-5, atol=1e-5)
            assert graph["last"][p] == clicks[-1]


def test_the_pair_of_graphs_by_hand():
    # 7 → 8 → 7 → 7 → 9
    graph = prefix_graphs(np.array([[7, 8, 7, 7, 9]]), np.array([3, 4]))
    assert graph["nodes"].tolist() == [0, 1, 0, 1, 4]
    assert graph["node_bounds"].tolist() == [0, 2, 5]
    assert graph["last"].tolist() == [0, 4]
    # first of each receiver, in the order 7, 7 (two edges each), 8, 8, 9; then the second of 7
    assert graph["receivers"].tolist() == [0, 2, 1, 3, 4]
    assert graph["message_counts"].tolist() == [5, 2]
    assert graph["messages"].tolist() == [1, 3, 0, 2, 2, 0, 2]
    assert graph["shortcut_bounds"].tolist() == [0, 2, 4, 6, 8, 11]
    assert graph["shortcuts"].tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 4]


def test_both_graphs_are_those_of_each_prefix_alone():
    for items, where in batches():
        graph = prefix_graphs(items, where)
        item_of = items.ravel()[graph["nodes"]]
        heard = {node: [] for node in range(len(item_of))}
        at = 0
        for n in graph["message_counts"]:
            for receiver in graph["receivers"][:n]:
                heard[receiver].append(item_of[graph["messages"][at]])
                at += 1
        assert at == len(graph["messages"])
        for p, cell in enumerate(where):
            prefix = prefix_of(items, cell)
            nodes = range(graph["node_bounds"][p], graph["node_bounds"][p + 1])
            assert item_of[list(nodes)].tolist() == distinct(prefix)
            assert graph["last"][p] == nodes[distinct(prefix).index(prefix[-1])]
            for node in nodes:
                assert heard[node] == multigraph(prefix)[item_of[node]]
                bounds = graph["shortcut_bounds"]
                senders = graph["shortcuts"][bounds[node] : bounds[node + 1]]
                assert all(s in nodes for s in senders)
                found = item_of[senders].tolist()
                assert len(found) == len(set(found))
                assert set(found) == shortcuts(prefix)[item_of[node]]


def test_nothing_asked_for_is_nothing_made():
    items, nothing = padded(SESSIONS), np.empty(0, np.int64)
    assert len(shared_graphs(items, nothing)["own_1"]) == 0
    graph = prefix_graphs(items, nothing)
    assert len(graph["nodes"]) == len(graph["messages"]) == len(graph["shortcuts"]) == 0
