"""The search by bytes says what the search by float32 says."""

import numpy as np
import pytest
import torch

from nextclick.serving.best import Best, Filters
from nextclick.serving.query import Query, Wish
from nextclick.serving.rounded import WIDEST, Rounded, _rounded_queries, _sieve

NOTHING = np.empty(0, np.int32)


def wish(k, hidden=(), shown=None):
    hidden = np.array(sorted(hidden), np.int32)
    return Wish(Query((), k), np.array([1], np.int32), [], k, hidden, shown, None, 0.0, 0)


def plain(table, bias, queries, filters):
    scores = torch.from_numpy(queries) @ torch.from_numpy(table[1:]).T
    if bias is not None:
        scores += torch.from_numpy(bias[1:])
    found = Best.empty(filters)
    found.add(scores.numpy(), 1, filters)
    return found.lists()


def check(table, bias, queries, wishes):
    filters = Filters.of(wishes)
    expected = plain(table, bias, queries, filters)
    found = Rounded.of(table, bias).best(queries, filters)
    for one, (items, scores) in zip(found, expected, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one[0], items)
        np.testing.assert_allclose(one[1], scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 7, 32, 50, 100])
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_same_items_as_all_scores_sorted(width, with_bias):
    rng = np.random.default_rng(width)
    table = rng.normal(size=(5001, width)).astype(np.float32)
    table *= rng.lognormal(0, 2, size=(5001, 1)).astype(np.float32)  # some rows far longer
    table[17] = 0.0
    bias = rng.normal(size=5001).astype(np.float32) if with_bias else None
    queries = rng.normal(size=(4, width)).astype(np.float32)
    shown = rng.random(5001) < 0.01
    wishes = [wish(20), wish(1), wish(30, hidden=range(1, 2500)), wish(5, shown=shown)]
    check(table, bias, queries, wishes)


def test_of_equal_scores_the_lower_item_comes_first():
    rng = np.random.default_rng(0)
    table = np.repeat(rng.normal(size=(51, 8)), 40, axis=0).astype(np.float32)
    check(table, None, rng.normal(size=(1, 8)).astype(np.float32), [wish(30)])


def test_the_true_score_lies_below_the_bound():
    """Whatever the sieve drops could not have been among the best."""
    rng = np.random.default_rng(1)
    table = rng.standard_cauchy(size=(3000, 20)).astype(np.float32)
    queries = rng.standard_cauchy(size=(50, 20)).astype(np.float32)
    rounded, filters = Rounded.of(table, None), Filters.of([wish(10)] * 50)
    numbers, step, length, off = _rounded_queries(queries, rounded.rows.shape[1])
    kept = _sieve(
        rounded.rows, rounded.scale, rounded.off, rounded.length, rounded.bias,
        numbers, step, length, off, *filters,
    )  # fmt: skip
    scores = queries.astype(np.float64) @ table[1:].T.astype(np.float64)
    for (items, ceiling), row in zip(kept, scores, strict=True):
        assert set(np.argsort(-row)[:10] + 1) <= set(items.tolist())
        assert row.min() <= ceiling


def test_it_says_where_it_cannot_tell():
    table = np.ones((100, 4), dtype=np.float32)  # no item is above the lowest
    rounded = Rounded.of(table, None)
    queries = np.array([[1.0] * 4, [np.nan] * 4, [np.inf] * 4], dtype=np.float32)
    assert rounded.best(queries, Filters.of([wish(3)] * 3)) == [None] * 3
    few = np.zeros(100, dtype=np.bool_)
    found = rounded.best(queries[:1] * 0, Filters.of([wish(3, shown=few)]))
    np.testing.assert_array_equal(found[0][0], NOTHING)


def test_sums_fit_into_32_bits():
    table = np.ones((3, WIDEST), dtype=np.float32)
    table[2] *= -1.0
    check(table, None, np.ones((1, WIDEST), dtype=np.float32), [wish(1)])
