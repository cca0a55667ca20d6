"""The search over rounded vectors gives the items and scores of an exhaustive search."""

import numpy as np
import pytest

from nextclick.models.neural.cosine_gru import CosineGRU, CosineGRUConfig
from nextclick.serving.request import RecommendationRequest, ResolvedRequest
from nextclick.serving.search import byte_index, dot_product
from nextclick.serving.search.bounded_exact import BoundedIndex
from nextclick.serving.search.byte_index import ByteIndex, has_equal_lengths


def request(k, excluded=(), allowed=None):
    excluded = np.array(sorted(excluded), np.int32)
    original = RecommendationRequest((), k)
    clicks = np.array([1], np.int32)
    return ResolvedRequest(original, clicks, [], k, excluded, allowed, None, 0.0, 0)


def exhaustive(table, query, asked):
    """Score all items, sort, drop the lowest score, filter, take k."""
    scores = (table[1:].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    items = np.arange(1, len(table))
    order = np.lexsort((items, -scores))
    kept = (scores > scores.min()) & ~np.isin(items, asked.excluded)
    if asked.allowed is not None:
        kept &= asked.allowed[1:]
    order = order[kept[order]][: asked.k]
    return items[order], scores[order]


def unit_rows(rng, n_items, width):
    table = rng.normal(size=(n_items + 1, width))
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


def check(table, queries, requests):
    index = ByteIndex.of(table)
    for query in queries:
        for asked in requests:
            result, _ = index.top(query, asked)
            assert result is not None
            items, scores = exhaustive(table, query, asked)
            np.testing.assert_array_equal(result[0], items)
            np.testing.assert_array_equal(result[1], scores)


@pytest.mark.parametrize("width", [1, 7, 64, 128, 130])
def test_equals_an_exhaustive_search(width):
    rng = np.random.default_rng(width)
    table = unit_rows(rng, 4999, width) if width > 1 else rng.normal(size=(5000, 1)).astype("f4")
    allowed = rng.random(5000) < 0.1
    most = range(1, 2500)
    requests = [
        request(20), request(1), request(30, excluded=most), request(5, allowed=allowed),
        request(200), request(40, excluded=[3, 9], allowed=allowed),
    ]  # fmt: skip
    check(table, 14 * unit_rows(rng, 3, width), requests)


@pytest.mark.parametrize("n_items", [2, 63, 64, 65, 130])
def test_chunks_that_are_not_full(n_items):
    rng = np.random.default_rng(n_items)
    check(unit_rows(rng, n_items, 5), rng.normal(size=(3, 5)).astype("f4"), [request(1)])


def test_equal_scores_are_ordered_by_item():
    rng = np.random.default_rng(0)
    table = np.repeat(unit_rows(rng, 50, 8), 40, axis=0)[rng.permutation(51 * 40)]
    check(table, rng.normal(size=(5, 8)).astype("f4"), [request(30)])


def test_scores_the_few_items_that_the_rounded_scores_leave():
    """Other rows of the table are not read: they may contain anything."""
    rng = np.random.default_rng(5)
    table, query = unit_rows(rng, 20_000, 64), 14 * unit_rows(rng, 0, 64)[0]
    index = ByteIndex.of(table.copy())
    expected, _ = index.top(query, request(20))
    low = np.argsort(-(table[1:] @ query))[40:] + 1
    index.table[low] = np.nan
    result, _ = index.top(query, request(20))
    np.testing.assert_array_equal(result[0], expected[0])
    np.testing.assert_array_equal(result[1], expected[1])


def test_leaves_other_queries_to_the_exhaustive_search():
    rng = np.random.default_rng(1)
    index = ByteIndex.of(unit_rows(rng, 100, 8))
    unknown = rng.normal(size=8).astype("f4")
    unknown[3] = np.nan
    assert index.top(unknown, request(5)) == (None, 0.0)
    equal, _ = index.top(np.zeros(8, np.float32), request(5))  # no item has a lower score
    assert equal is None


def test_the_bound_holds_for_the_largest_error():
    rng = np.random.default_rng(2)
    table = unit_rows(rng, 1000, 50)
    index = ByteIndex.of(table)
    decoded = index.scale[:, None] * index.codes.reshape(1000, -1)[:, :50]
    lost = np.linalg.norm(table[1:] - decoded, axis=1)
    assert index.error == pytest.approx(lost.max(), rel=1e-5)
    codes = np.zeros(byte_index._GROUP, np.int16)
    query = rng.normal(size=50).astype("f4")
    step, lost = byte_index.round_query(query, codes)
    assert lost == pytest.approx(np.linalg.norm(query - step * codes[:50]), rel=1e-4)


def test_is_used_for_tables_of_unit_vectors(monkeypatch):
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 1)
    rng = np.random.default_rng(3)
    table = unit_rows(rng, 40, 6)
    assert has_equal_lengths(table)
    table[5] *= 2
    assert not has_equal_lengths(table)
    model = CosineGRU(CosineGRUConfig(width=6), 40)
    model.encoder.keep_unit_vectors()
    searcher = dot_product.DotProductSearcher(model)
    assert isinstance(searcher.index, ByteIndex)
    searcher.model.encoder.items.weight.data[1] *= 3
    assert isinstance(dot_product.DotProductSearcher(model).index, BoundedIndex)
