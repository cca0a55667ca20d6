"""Top lists, coverage and popularity: hand-worked and against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.core.topk import SortedBase, dense_top, sparse_top
from nextclick.core.types import SparseScores
from nextclick.evaluation.beyond_accuracy import Exposure, ItemPopularity, popularity_percentile
from reference.eval_ranks import top
from reference.eval_strategies import sparse_scores


def test_equal_scores_are_ordered_by_index() -> None:
    scores = np.array([[9, 1, 3, 0, 3, 2]], dtype=np.float32)
    assert dense_top(scores, 3).tolist() == [[2, 4, 5]]


def test_items_of_the_lowest_score_are_not_recommended() -> None:
    scores = np.array([[0, 0, 0, 7, 0], [0, 2, 2, 2, 2]], dtype=np.float32)
    assert dense_top(scores, 3).tolist() == [[3, 0, 0], [0, 0, 0]]


def test_with_a_constant_base_only_listed_items_are_recommended() -> None:
    scores = SparseScores(
        offsets=np.array([0, 2, 2]),
        items=np.array([4, 1], dtype=np.int32),
        values=np.array([0.1, 0.2], dtype=np.float32),
        base=np.zeros(6, dtype=np.float32),
    )
    lists = sparse_top(scores, SortedBase.from_scores(scores.base), 3)
    assert lists.tolist() == [[1, 4, 0], [0, 0, 0]]


def test_unlisted_items_are_recommended_by_their_base() -> None:
    scores = SparseScores(
        offsets=np.array([0, 1]),
        items=np.array([3], dtype=np.int32),
        values=np.array([0.5], dtype=np.float32),
        base=np.array([0, 1, 3, 9, 2], dtype=np.float32),
    )
    # item 3 is listed, with a score below its base
    assert sparse_top(scores, SortedBase.from_scores(scores.base), 3).tolist() == [[2, 4, 1]]


@settings(max_examples=200, deadline=None)
@given(sparse_scores(), st.data())
def test_sparse_equals_dense_equals_the_definition(
    scores: SparseScores, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(scores.base) - 1))
    dense = scores.dense()
    expected = [top(row.tolist(), k) for row in dense]
    assert dense_top(dense, k).tolist() == expected
    assert sparse_top(scores, SortedBase.from_scores(scores.base), k).tolist() == expected


def test_coverage_and_popularity_hand_worked() -> None:
    exposure = Exposure(4, [1, 2], np.array([100, 10, 20, 30, 40]))
    exposure.add(np.array([[4, 3], [4, 0]], dtype=np.int32))
    exposure.add(np.array([[1, 4]], dtype=np.int32))
    assert exposure.coverage() == {"coverage@1": 0.5, "coverage@2": 0.75}
    assert exposure.popularity() == {
        # top 1: items 4, 4, 1; top 2: items 4, 3, 4, 1, 4
        "popularity@1": ItemPopularity(
            support=30.0, percentile=pytest.approx((0.875 * 2 + 0.125) / 3)
        ),
        "popularity@2": ItemPopularity(
            support=32.0, percentile=pytest.approx((0.875 * 3 + 0.625 + 0.125) / 5)
        ),
    }


def test_no_popularity_without_recommendations() -> None:
    exposure = Exposure(2, [1], np.array([0, 1, 1]))
    exposure.add(np.zeros((3, 1), dtype=np.int32))
    assert exposure.coverage() == {"coverage@1": 0.0}
    assert exposure.popularity() == {}
    assert Exposure(2, [1], None).popularity() == {}


def test_every_item_recommended_once_is_percentile_one_half() -> None:
    support = np.random.default_rng(3).integers(0, 9, 1001)
    assert popularity_percentile(support).mean() == pytest.approx(0.5)
