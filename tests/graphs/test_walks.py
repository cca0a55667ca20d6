"""Item graphs, random walks and skip-gram pairs, compared with simple references."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, EmptyLogError
from nextclick.graphs.item_graph import ItemGraph
from nextclick.graphs.walks import WALKS_PER_CHUNK, Walks
from reference.walks import edges, pairs, walk

N = 25


def drawn_sessions(seed=0, n=60):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, N + 1, rng.integers(1, 7)).tolist() for _ in range(n)]


SESSIONS = drawn_sessions()
GRAPH = ItemGraph.from_sessions(Sessions.from_lists(SESSIONS, N))


def rows(graph):
    followers = {}
    weights = graph.weights()
    for i in range(graph.n_items + 1):
        part = slice(graph.offsets[i], graph.offsets[i + 1])
        if part.stop > part.start:
            followers[i] = dict(
                zip(graph.followers[part].tolist(), weights[part].tolist(), strict=True)
            )
    return followers


def listed(batch):
    owner = np.repeat(np.arange(len(batch.centers)), np.diff(batch.bounds))
    return list(zip(batch.centers[owner].tolist(), batch.contexts.tolist(), strict=True))


def test_a_graph_by_hand():
    graph = ItemGraph.from_sessions(Sessions.from_lists([[1, 2, 2, 3], [1, 2, 0, 3], [1, 3]], 4))
    assert rows(graph) == {1: {2: 2, 3: 1}, 2: {3: 1}}
    assert graph.cumulative.tolist() == [2, 3, 1]
    assert graph.degrees().tolist() == [0, 3, 3, 2, 0]
    assert graph.degrees(weighted=False).tolist() == [0, 2, 2, 2, 0]
    assert graph.n_items == 4


def test_the_graph_counts_transitions():
    assert rows(GRAPH) == edges(SESSIONS)


def test_walks_equal_those_of_the_reference():
    walks = Walks(GRAPH, length=9, seed=3)
    for item in range(1, N + 1):
        for number in range(4):
            assert walks.walk(item, number).tolist() == walk(edges(SESSIONS), item, number, 9, 3)


def test_a_walk_ends_at_an_item_without_followers():
    graph = ItemGraph.from_sessions(Sessions.from_lists([[1, 2, 3]], 3))
    walks = Walks(graph, length=50)
    assert walks.walk(1, 0).tolist() == [1, 2, 3]
    assert walks.walk(3, 0).tolist() == [3]


def test_a_follower_is_drawn_in_proportion_to_its_weight():
    graph = ItemGraph.from_sessions(Sessions.from_lists([[1, 2]] * 6 + [[1, 3]] * 3 + [[1, 4]], 4))
    walks = Walks(graph, length=2)
    followers = Counter(int(walks.walk(1, number)[1]) for number in range(20_000))
    for item, share in ((2, 0.6), (3, 0.3), (4, 0.1)):
        assert followers[item] / 20_000 == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize(("window", "batch_pairs"), [(1, 7), (3, 40), (8, 100_000)])
def test_a_pass_contains_every_pair_of_every_walk_once(window, batch_pairs):
    walks = Walks(GRAPH, walks=3, length=11, window=window, seed=5)
    counts = Counter()
    for batch in walks.batches(0, batch_pairs):
        assert len(batch) <= max(batch_pairs, 2 * window)
        assert batch.bounds[0] == 0
        assert (np.diff(batch.bounds) > 0).all()
        counts += Counter(listed(batch))
    expected = Counter()
    for item in edges(SESSIONS):
        for number in range(3):
            expected += Counter(pairs(walk(edges(SESSIONS), item, number, 11, 5), window))
    assert counts == expected


@pytest.mark.parametrize("batch_pairs", [1, 40])
def test_contexts_to_the_right(batch_pairs):
    walks = Walks(GRAPH, walks=3, length=11, window=2, both_sides=False, seed=5)
    batches = list(walks.batches(0, batch_pairs))
    expected = Counter()
    for item in edges(SESSIONS):
        for number in range(3):
            items = walk(edges(SESSIONS), item, number, 11, 5)
            expected.update(pairwise(items))
            expected.update(zip(items, items[2:], strict=False))
    assert Counter(chain.from_iterable(map(listed, batches))) == expected
    assert all(np.diff(batch.bounds).min() > 0 for batch in batches), "every center has a context"


def test_the_number_of_a_pass_determines_the_order_of_its_batches():
    first, again, other = (
        [listed(b) for b in Walks(GRAPH, walks=2, length=8, seed=1).batches(number, 64)]
        for number in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert Counter(chain(*first)) == Counter(chain(*other))


def test_a_pass_ends_after_the_batch_that_reaches_the_limit():
    walks = Walks(GRAPH, walks=5, length=20)
    sizes = [len(batch) for batch in walks.batches(0, 100, max_pairs=450)]
    assert sum(sizes[:-1]) < 450 <= sum(sizes)


def test_memory_does_not_grow_with_the_number_of_walks(monkeypatch):
    rng = np.random.default_rng(0)
    many = Sessions.from_lists(rng.integers(1, 20_001, (30_000, 3)).tolist(), 20_000)
    walks = Walks(ItemGraph.from_sessions(many), walks=3, length=20, window=4)
    chunk_bytes, draw = [], Walks._draw

    def spied(self, starts, number):
        chunk = draw(self, starts, number)
        chunk_bytes.append(chunk[0].nbytes)
        return chunk

    monkeypatch.setattr(Walks, "_draw", spied)
    n_pairs = sum(len(batch) for batch in walks.batches(0, 8192))
    assert n_pairs > 20_000 * 3 * 20
    assert len(chunk_bytes) > 3
    assert max(chunk_bytes) <= 4 * 20 * WALKS_PER_CHUNK


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"walks": 0}, "walks must be at least 1, got 0"),
        ({"length": 1}, "length must be at least 2, got 1"),
        ({"window": 0}, "window must be at least 1, got 0"),
    ],
)
def test_a_parameter_out_of_range_is_rejected(options, message):
    with pytest.raises(ConfigError, match=message):
        Walks(GRAPH, **options)


def test_a_graph_without_edges_is_rejected():
    graph = ItemGraph.from_sessions(Sessions.from_lists([[1, 1], [2]], 2))
    with pytest.raises(EmptyLogError, match="no session has two different consecutive items"):
        Walks(graph)
