"""Neighbors of items: by hand, against a slow twin, and with limits."""

from fractions import Fraction

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.graphs.nearby_items import nearby_items


def test_weights_by_hand():
    # 1-2 at distance 1 twice, 2-3 once, 1-3 at distance 2
    log = Sessions.from_lists([[1, 2, 3], [1, 2]])
    nearby = nearby_items(log, 2)
    assert nearby.items.tolist() == [[0, 0], [2, 3], [1, 3], [2, 1]]
    np.testing.assert_allclose(nearby.weights[1], [0.8, 0.2])  # 2 and 1/2
    np.testing.assert_allclose(nearby.weights[2], [2 / 3, 1 / 3])  # 2 and 1
    assert nearby.weights[0].tolist() == [0, 0]


def slow_weights(sessions, window):
    weights = {}
    for number in range(len(sessions)):
        clicks = sessions.session(number).tolist()
        for a, i in enumerate(clicks):
            for b in range(a + 1, min(a + window, len(clicks) - 1) + 1):
                j = clicks[b]
                if i and j and i != j:
                    for pair in ((i, j), (j, i)):
                        weights[pair] = weights.get(pair, 0) + Fraction(1, b - a)
    return weights


@pytest.mark.parametrize("window", [1, 3])
def test_the_neighbors_are_those_of_a_slow_twin(window):
    rng = np.random.default_rng(0)
    log = Sessions.from_lists(
        [rng.integers(0, 12, rng.integers(1, 9)).tolist() for _ in range(60)], n_items=13
    )
    nearby, expected = nearby_items(log, 4, window=window), slow_weights(log, window)
    for i in range(1, 14):
        row = sorted((-w, j) for (a, j), w in expected.items() if a == i)[:4]
        found = [(j, w) for j, w in zip(nearby.items[i], nearby.weights[i], strict=True) if j]
        assert [j for j, _ in found] == [j for _, j in row]
        total = sum(-w for w, _ in row)
        np.testing.assert_allclose(
            [w for _, w in found], [float(-w / total) for w, _ in row], rtol=1e-6
        )
    assert not nearby.items[13].any()  # an item without clicks


def test_pairs_do_not_cross_sessions_or_unknown_items():
    nearby = nearby_items(Sessions.from_lists([[1], [2], [3, 0], [4]]), 2, window=2)
    assert not nearby.items.any()
    assert not nearby.weights.any()


def test_only_the_newest_sessions_are_counted():
    log = Sessions.from_lists([[1, 2], [2, 3], [3, 4]])
    assert nearby_items(log, 1, max_clicks=4).items[:, 0].tolist() == [0, 0, 3, 2, 3]
