"""The approximate search finds most of the best items, and scores what it finds exactly."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.serving.request import RecommendationRequest, ResolvedRequest
from nextclick.serving.search import dot_product
from serving_cases import neural_artifact

pytest.importorskip("faiss", reason="the extra faiss is not installed")

from nextclick.serving.search.quantized_index import QuantizedIndex

N_ITEMS = 20_000


def request(k, excluded=(), allowed=None):
    excluded = np.array(sorted(excluded), np.int32)
    clicks = np.array([1], np.int32)
    original = RecommendationRequest((), k)
    return ResolvedRequest(original, clicks, [], k, excluded, allowed, None, 0.0, 0)


def exhaustive(table, bias, query, asked):
    """Score all items, filter, sort, take k."""
    scores = table[1:].astype(np.float64) @ query.astype(np.float64)
    scores = (scores if bias is None else scores + bias[1:]).astype(np.float32)
    items = np.arange(1, len(table), dtype=np.int32)
    order = np.lexsort((items, -scores))
    allowed = ~np.isin(items, asked.excluded)
    if asked.allowed is not None:
        allowed &= asked.allowed[1:]
    order = order[allowed[order]][: asked.k]
    return items[order], scores[order]


def gaussian(rng, n_rows, width=32):
    return rng.normal(size=(n_rows, width)).astype(np.float32)


def unit_rows(rng, n_rows, width=32):
    rows = gaussian(rng, n_rows, width)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def few_axes(rng, n_rows, width=32):
    return gaussian(rng, n_rows, width) * np.float32(0.8) ** np.arange(width, dtype=np.float32)


def indexed(rows, with_bias=False, candidates_per_item=20):
    """An index, its bias, and queries that were not seen when it was built."""
    rng = np.random.default_rng(0)
    table, queries = rows(rng, N_ITEMS + 1), rows(rng, 542)
    bias = gaussian(rng, N_ITEMS + 1, 1)[:, 0] if with_bias else None
    index = QuantizedIndex.of(table, bias, queries[30:])
    return replace(index, candidates_per_item=candidates_per_item), queries[:30]


def recall(index, queries, asked):
    """The share of the best items that are found; what is found has its exact score and order."""
    shares = []
    for query, result in zip(queries, index.top(queries, [asked] * len(queries)), strict=True):
        items, scores = exhaustive(index.table, index.bias, query, asked)
        assert result is not None
        assert len(result[0]) == len(items)
        assert not np.isin(result[0], asked.excluded).any()
        assert asked.allowed is None or asked.allowed[result[0]].all()
        exact = index.table[result[0]].astype(np.float64) @ query.astype(np.float64)
        exact += 0 if index.bias is None else index.bias[result[0]]
        np.testing.assert_allclose(result[1], exact, rtol=1e-5, atol=1e-5)
        ordered = np.lexsort((result[0], -result[1]))
        assert ordered.tolist() == list(range(len(items)))
        is_best = np.isin(items, result[0])
        np.testing.assert_array_equal(scores[is_best], result[1][np.isin(result[0], items)])
        shares.append(is_best.mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("rows", [gaussian, unit_rows, few_axes])
@pytest.mark.parametrize("with_bias", [False, True])
def test_finds_most_of_the_best_items(rows, with_bias):
    index, queries = indexed(rows, with_bias)
    assert recall(index, queries, request(20)) >= 0.95


def test_more_candidates_find_more():
    index, queries = indexed(gaussian)
    found = [
        recall(replace(index, candidates_per_item=n), queries, request(20)) for n in (2, 5, 20)
    ]
    assert found[0] < found[1] < found[2]


def test_axes_that_queries_use_are_quantized_more_precisely():
    rng = np.random.default_rng(1)
    table, queries = gaussian(rng, N_ITEMS + 1), few_axes(rng, 542)
    rotation = np.linalg.qr(gaussian(rng, 32))[0]
    queries = (queries @ rotation).astype(np.float32)
    seen, unseen = (
        replace(QuantizedIndex.of(table, None, sample), candidates_per_item=5)
        for sample in (queries[30:], gaussian(rng, 512))
    )
    asked = request(20)
    assert recall(seen, queries[:30], asked) > recall(unseen, queries[:30], asked) + 0.02


def test_filters_leave_as_many_candidates():
    rng = np.random.default_rng(2)
    index, queries = indexed(gaussian, candidates_per_item=10)
    unfiltered = recall(index, queries, request(10))
    allowed = rng.random(N_ITEMS + 1) < 0.4
    for asked in (
        request(10, allowed=allowed),
        request(10, excluded=range(1, 300)),
        request(10, excluded=range(1, 100), allowed=allowed),
    ):
        assert recall(index, queries, asked) >= unfiltered - 0.05


def test_leaves_other_requests_to_the_exact_search():
    index, queries = indexed(gaussian)
    few = np.zeros(N_ITEMS + 1, np.bool_)
    few[5:50] = True
    below = index.table @ queries[0] < 0  # half of the items, but none of the best
    below[0] = False
    unknown = queries[0].copy()
    unknown[3] = np.nan
    for query, asked in (
        (queries[0], request(5, allowed=few)),
        (queries[0], request(5, allowed=np.zeros_like(few))),
        (queries[0], request(5, allowed=below)),
        (queries[0], request(N_ITEMS)),
        (queries[0], request(5, excluded=range(1, N_ITEMS))),
        (unknown, request(5)),
        (np.zeros_like(unknown), request(5)),  # no item has a lower score
    ):
        assert index.top(query[None], [asked]) == [None]


def test_a_batch_gets_the_answers_of_single_requests():
    index, queries = indexed(unit_rows, with_bias=True)
    allowed = np.random.default_rng(3).random(N_ITEMS + 1) < 0.5
    kinds = [request(20), request(3), request(5, allowed=allowed), request(N_ITEMS)]
    requests = [kinds[b % len(kinds)] for b in range(len(queries))]
    together = index.top(queries, requests)
    for b, result in enumerate(together):
        (alone,) = index.top(queries[b : b + 1], requests[b : b + 1])
        if alone is None:
            assert result is None
            continue
        np.testing.assert_array_equal(result[0], alone[0])
        np.testing.assert_array_equal(result[1], alone[1])


def test_the_index_is_the_same_each_time():
    (index, queries), (again, _) = indexed(gaussian), indexed(gaussian)
    for one, other in zip(
        index._candidates(queries, 50), again._candidates(queries, 50), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_equal_vectors_and_columns():
    """Axes without variance, and a table of one vector, are quantized without a division by 0."""
    rng = np.random.default_rng(4)
    table, queries = gaussian(rng, 4001, 8), gaussian(rng, 20, 8)
    table[:, 2] = 3.0
    index = replace(QuantizedIndex.of(table, None, queries), candidates_per_item=12)
    assert recall(index, queries, request(5)) > 0.8
    table[:] = table[1]
    assert QuantizedIndex.of(table, None, queries).top(queries, [request(5)] * 20) == [None] * 20


def test_a_request_that_is_not_decided_is_searched_exactly(monkeypatch):
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    model = neural_artifact("narm", n_items=3000).model
    exact, approximate = (dot_product.DotProductSearcher(model) for _ in range(2))
    index = QuantizedIndex.of(exact.table, None, exact.sample_queries())
    approximate.approximate = replace(index, candidates_per_item=15)
    queries = exact.sample_queries()[:4]
    everything = [request(20), request(3000), request(5, excluded=range(1, 2990)), request(5)]
    found, expected = (one.search(queries, everything) for one in (approximate, exact))
    for b in (1, 2):
        np.testing.assert_array_equal(found[b][0], expected[b][0])
        np.testing.assert_array_equal(found[b][1], expected[b][1])
    one_click = [replace(request(2999), clicks=np.array([7], np.int32))]
    for one, other in zip(approximate.top(one_click), exact.top(one_click), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
