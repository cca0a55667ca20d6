"""Temporal graph statistics: worked out by hand, and against a naive implementation."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nextclick.analysis.temporal_graph_stats import temporal_graph_stats
from nextclick.core.sessions import Sessions


def log_of(sessions, blocks, n_items=9):
    log = Sessions.from_lists(sessions, n_items)
    return replace(log, blocks=np.array(blocks, np.int32))


def test_four_blocks_by_hand():
    sessions = [
        [1, 2, 1, 3],  # block 4: {1, 2} once, {1, 3}
        [2, 1, 1, 4],  # block 5: {1, 2}, {1, 4}; an item is no neighbor of itself
        [1, 4],
        [0, 1, 0, 4],  # block 7: nothing, unknown items have no neighbors
        [4, 1],  # block 8
    ]
    stats = temporal_graph_stats(log_of(sessions, [4, 5, 5, 7, 8]))
    assert stats.blocks == [4, 5, 6, 7, 8]
    assert stats.neighbor_pairs == [0, 2, 2, 0, 0]
    assert stats.clicked_pairs == [2, 2, 0, 0, 1]
    assert stats.clicked_neighbor_pairs == [0, 1, 0, 0, 0]


def test_against_a_naive_implementation():
    rng = np.random.default_rng(0)
    sessions = [rng.integers(0, 10, rng.integers(1, 6)).tolist() for _ in range(400)]
    blocks = np.sort(rng.integers(0, 12, 400))
    stats = temporal_graph_stats(log_of(sessions, blocks))
    previous = set()
    for n, block in enumerate(range(blocks[0], blocks[-1] + 1)):
        current = {
            frozenset(pair)
            for session, at in zip(sessions, blocks, strict=True)
            if at == block
            for pair in pairwise(session)
            if 0 not in pair and pair[0] != pair[1]
        }
        assert (stats.neighbor_pairs[n], stats.clicked_pairs[n]) == (len(previous), len(current))
        assert stats.clicked_neighbor_pairs[n] == len(current & previous)
        previous = current


def test_one_block_has_no_history():
    assert temporal_graph_stats(log_of([[1, 2], [2, 1]], [3, 3])) is None


def test_it_needs_blocks():
    with pytest.raises(ValueError, match="needs blocks of time, but these sessions have none"):
        temporal_graph_stats(Sessions.from_lists([[1, 2]]))
