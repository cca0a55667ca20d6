"""Item neighbors of a day, and neighborhoods of items."""

import numpy as np
import pytest

from nextclick.graphs.neighbors import Neighbors
from reference.temporal_graph import within

N = 40


def random_neighbors(seed, n_pairs=45):
    """Neighbors of random pairs, and the same as a dictionary of dictionaries."""
    rng = np.random.default_rng(seed)
    pairs = {
        tuple(sorted(rng.choice(np.arange(1, N + 1), 2, replace=False))) for _ in range(n_pairs)
    }
    i, j = (np.array(side, np.int32) for side in zip(*sorted(pairs), strict=True))
    weights = rng.uniform(1, 2, len(i))
    expected = {item: {} for item in range(N + 1)}
    for a, b, weight in zip(i.tolist(), j.tolist(), weights, strict=True):
        expected[a][b] = expected[b][a] = np.float32(weight).item()
    return Neighbors.from_pairs(i, j, weights), expected


def test_pairs_become_a_symmetric_graph():
    graph, expected = random_neighbors(0)
    assert {item: graph.item_neighbors(item) for item in range(N + 1)} == expected
    assert graph.items.tolist() == [item for item in range(N + 1) if expected[item]]
    for a in range(len(graph.items)):
        row = graph.neighbors[graph.offsets[a] : graph.offsets[a + 1]].tolist()
        assert row == sorted(row)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_within_finds_the_neighborhood_of_the_roots(steps, seed):
    graph, expected = random_neighbors(seed)
    roots = np.array([7, 3, 11, 20], np.int64)
    reach = graph.neighborhood(roots, steps, N)
    assert reach.items[:4].tolist() == roots.tolist()
    assert len(reach.bounds) == steps + 1
    assert [set(reach.items[:n].tolist()) for n in reach.bounds] == within(expected, roots, steps)
    assert len(set(reach.items.tolist())) == len(reach.items)
    n_rows = reach.bounds[steps - 1] if steps else 0
    assert len(reach.offsets) == n_rows + 1
    for row in range(n_rows):
        part = slice(reach.offsets[row], reach.offsets[row + 1])
        columns = reach.items[reach.columns[part]].tolist()
        assert (
            dict(zip(columns, reach.weights[part].tolist(), strict=True))
            == (expected[int(reach.items[row])])
        )


def test_a_graph_without_pairs_has_no_neighbors():
    none = np.empty(0, np.int32)
    graph = Neighbors.from_pairs(none, none, np.empty(0))
    reach = graph.neighborhood(np.array([3, 1]), 2, N)
    assert reach.items.tolist() == [3, 1]
    assert reach.bounds.tolist() == [2, 2, 2]
    assert reach.offsets.tolist() == [0, 0, 0]
    assert graph.item_neighbors(3) == {}
