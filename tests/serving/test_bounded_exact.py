"""The search that passes over most of a table says what all scores say."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.serving.request import RecommendationRequest, ResolvedRequest
from nextclick.serving.search import dot_product
from nextclick.serving.search.bounded_exact import BoundedIndex
from reference.neural_cases import CASES, small_model, spread_weights
from serving_cases import neural_artifact


def wish(k, hidden=(), shown=None):
    hidden = np.array(sorted(hidden), np.int32)
    return ResolvedRequest(
        RecommendationRequest((), k), np.array([1], np.int32), [], k, hidden, shown, None, 0.0, 0
    )


def by_hand(table, bias, query, asked):
    """The slow twin: score all, sort, drop the lowest, drop what may not be shown, take k."""
    scores = table[1:].astype(np.float64) @ query.astype(np.float64)
    scores = (scores if bias is None else scores + bias[1:]).astype(np.float32)
    items = np.arange(1, len(table))
    order = np.lexsort((items, -scores))
    kept = (scores > scores.min()) & ~np.isin(items, asked.excluded)
    if asked.allowed is not None:
        kept &= asked.allowed[1:]
    order = order[kept[order]][: asked.k]
    return items[order], scores[order]


def check(table, bias, queries, wishes):
    index = BoundedIndex.of(table, bias, queries)
    for query in queries:
        for asked in wishes:
            items, scores = by_hand(table, bias, query, asked)
            found, _ = index.top(query, asked)
            assert found is not None
            np.testing.assert_array_equal(found[0], items)
            np.testing.assert_array_equal(found[1], scores)


def every_way(n_items, rng):
    shown = rng.random(n_items + 1) < 0.1
    most = range(1, n_items // 2)
    return [wish(20), wish(1), wish(30, hidden=most), wish(5, shown=shown), wish(200)]


@pytest.mark.parametrize("width", [1, 7, 8, 50])
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_same_items_as_all_scores_sorted(width, with_bias):
    rng = np.random.default_rng(width)
    table = rng.normal(size=(5000, width)).astype(np.float32)
    table *= rng.lognormal(0, 1, size=(5000, 1)).astype(np.float32)  # some rows far longer
    table[17] = 0.0
    bias = rng.normal(-20, 1, size=5000).astype(np.float32) if with_bias else None
    queries = rng.normal(size=(4, width)).astype(np.float32)
    check(table, bias, queries, every_way(4999, rng))


@pytest.mark.parametrize("shift", [0.0, 1.0, 1000.0])
def test_rows_around_a_common_center_on_few_axes(shift):
    """As trained tables are, and worse: what tells items apart is little beside the center."""
    rng = np.random.default_rng(3)
    axes = rng.normal(size=(20, 20)) * 0.7 ** np.arange(20)[:, None]
    table = (rng.normal(size=(3001, 20)) @ axes + shift * rng.normal(size=20)).astype(np.float32)
    queries = (rng.normal(size=(8, 20)) @ axes).astype(np.float32)
    check(table, None, queries, every_way(3000, rng))


def test_heavy_tails():
    rng = np.random.default_rng(1)
    table = rng.standard_cauchy(size=(3000, 20)).astype(np.float32)
    check(table, None, rng.standard_cauchy(size=(20, 20)).astype(np.float32), [wish(10)])


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e18])
def test_numbers_of_any_size(size):
    rng = np.random.default_rng(8)
    table = (size * rng.normal(size=(3000, 20))).astype(np.float32)
    table[:, 7] = 0.0
    queries = rng.normal(size=(4, 20)).astype(np.float32)
    queries[1] *= np.float32(1e-6)
    check(table, None, queries, [wish(20)])


@pytest.mark.parametrize("n_items", [2, 63, 64, 65, 130])
def test_blocks_that_are_not_full(n_items):
    rng = np.random.default_rng(n_items)
    table = rng.normal(size=(n_items + 1, 5)).astype(np.float32)
    check(table, None, rng.normal(size=(3, 5)).astype(np.float32), [wish(1)])


def test_of_equal_scores_the_lower_item_comes_first():
    rng = np.random.default_rng(0)
    table = np.repeat(rng.normal(size=(51, 8)), 40, axis=0).astype(np.float32)
    table = table[rng.permutation(len(table))]
    check(table, None, rng.normal(size=(5, 8)).astype(np.float32), [wish(30)])


def test_most_of_a_table_is_passed_over():
    """Rows that the bounds rule out are never read: they may hold anything by then."""
    rng = np.random.default_rng(5)
    table = rng.normal(size=(20_001, 24)) * 0.8 ** np.arange(24)
    table = (table * rng.lognormal(0, 0.5, size=(20_001, 1))).astype(np.float32)
    queries = (rng.normal(size=(50, 24)) * 0.8 ** np.arange(24)).astype(np.float32)
    query = queries[0]
    index = BoundedIndex.of(table.copy(), None, queries[1:])
    expected, read = index.top(query, wish(20))
    assert 0 < read < 0.5
    scores = table[1:] @ query
    low = np.flatnonzero(scores < np.sort(scores)[-400]) + 1  # all but 400
    low = np.setdiff1d(low, index.items[:64])
    index.table[low] = np.nan
    found, _ = index.top(query, wish(20))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_axes_that_queries_do_not_use_are_not_read():
    """Items point everywhere alike, queries do not: that is what the sample is for."""
    rng = np.random.default_rng(6)
    table = rng.normal(size=(20_001, 32)).astype(np.float32)
    queries = (rng.normal(size=(40, 32)) * 0.7 ** np.arange(32)).astype(np.float32)
    queries = (queries @ np.linalg.qr(rng.normal(size=(32, 32)))[0]).astype(np.float32)
    anything = rng.normal(size=(40, 32)).astype(np.float32)
    told, untold = (
        BoundedIndex.of(table, None, queries[20:]),
        BoundedIndex.of(table, None, anything),
    )
    answers = [[one.top(query, wish(20)) for query in queries[:20]] for one in (told, untold)]
    for (found, _), (other, _) in zip(*answers, strict=True):
        np.testing.assert_array_equal(found[0], other[0])
    reads = [np.mean([read for _, read in one]) for one in answers]
    assert reads[0] < 0.5 * reads[1]


def test_it_says_where_it_cannot_tell():
    table = np.ones((100, 4), dtype=np.float32)  # no item is above the lowest
    index = BoundedIndex.of(table, None, np.eye(4, dtype=np.float32))
    for values in (1.0, np.nan, np.inf):
        assert index.top(np.full(4, values, dtype=np.float32), wish(3))[0] is None
    none = np.zeros(100, dtype=np.bool_)
    found, _ = index.top(np.zeros(4, dtype=np.float32), wish(3, shown=none))
    assert found[0].tolist() == []


@pytest.mark.parametrize("each", [-1000.0, 1.0])
def test_batches_are_answered_as_without(monkeypatch, each):
    """Whether all requests are answered by the bytes, or a product of matrices answers most."""
    model = neural_artifact("gru4rec", n_items=3000).model
    plain = dot_product.DotProductSearcher(model)
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    monkeypatch.setattr(dot_product, "_FIXED_COST", each)
    best = dot_product.DotProductSearcher(model)
    assert (plain.index is None, best.index is None) == (True, False)
    rng = np.random.default_rng(2)
    queries = rng.normal(size=(6, best.table.shape[1])).astype(np.float32)
    queries[3] = 0.0  # all items score alike, or as their biases do
    wishes = [wish(20), wish(5, hidden=[7, 8]), wish(1), wish(9), wish(3), wish(700)]
    found = best.search(queries, wishes)
    for one, other in zip(found, plain.search(queries, wishes), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_allclose(one[1], other[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_every_model_can_be_searched_so(monkeypatch, case):
    model = spread_weights(small_model(case))
    plain = dot_product.DotProductSearcher(model)
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    best = dot_product.DotProductSearcher(model)
    assert best.index is not None
    asked = [
        replace(wish(3), clicks=np.array(clicks, np.int32)) for clicks in ([1], [2, 5, 2], [7])
    ]
    for one, other in zip(best.top(asked), plain.top(asked), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
