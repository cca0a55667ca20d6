"""Ranks: hand-worked, ties, and the sparse path against the dense one and the definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.core.topk import SortedBase
from nextclick.core.types import SparseScores
from nextclick.errors import ConfigError, ScoringError
from nextclick.evaluation.ranks import check_sparse, check_ties, dense_ranks, sparse_ranks
from reference.eval_ranks import rank
from reference.eval_strategies import sparse_scores

TIES = ("worst", "best", "mean")


def int32(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def float32(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def small() -> SparseScores:
    """Two rows over 3 items: the first lists items 2 and 3, the second nothing."""
    return SparseScores(
        offsets=np.array([0, 2, 2]),
        items=int32(2, 3),
        values=float32([0.5, 2.0]),
        base=float32([0, 1, 0, 0]),
    )


def test_hand_worked() -> None:
    scores = float32([[9, 0.1, 0.4, 0.3], [9, 0.1, 0.4, 0.3], [9, 0.1, 0.4, 0.3]])
    # column 0 is padding: its 9 is no candidate
    assert dense_ranks(scores, int32(2, 3, 1)).tolist() == [1, 2, 3]


def test_ties_count_against_the_target() -> None:
    scores = float32([[0, 5, 5, 5, 7]])
    assert dense_ranks(scores, int32(1)).tolist() == [4]
    assert dense_ranks(scores, int32(1), ties="best").tolist() == [2]
    assert dense_ranks(scores, int32(1), ties="mean").tolist() == [3]
    assert dense_ranks(float32([[0, 5, 5]]), int32(1), ties="mean").tolist() == [1.5]


def test_a_constant_scorer_ranks_every_target_last() -> None:
    assert dense_ranks(np.zeros((3, 6), dtype=np.float32), int32(1, 3, 5)).tolist() == [5, 5, 5]


def test_the_rank_of_an_unseen_target_is_infinite() -> None:
    scores = float32([[99, 1, 2]])
    for ties in TIES:
        assert dense_ranks(scores, int32(0), ties=ties).tolist() == [np.inf]


def test_sparse_hand_worked() -> None:
    scores = small()  # rows [1, .5, 2] and [1, 0, 0]
    base = SortedBase.from_scores(scores.base)
    assert sparse_ranks(scores, int32(1, 2), base).tolist() == [2, 3]
    assert sparse_ranks(scores, int32(2, 1), base).tolist() == [3, 1]
    assert sparse_ranks(scores, int32(3, 2), base, ties="best").tolist() == [1, 2]
    assert sparse_ranks(scores, int32(0, 0), base).tolist() == [np.inf, np.inf]


@settings(max_examples=200, deadline=None)
@given(sparse_scores(), st.sampled_from(TIES), st.data())
def test_sparse_equals_dense_equals_the_definition(
    scores: SparseScores, ties: str, data: st.DataObject
) -> None:
    n_rows, n_items = len(scores.offsets) - 1, len(scores.base) - 1
    targets = int32(*(data.draw(st.integers(0, n_items)) for _ in range(n_rows)))
    check_sparse(scores, n_rows, n_items)
    dense = scores.dense()
    expected = [rank(row.tolist(), int(t), ties) for row, t in zip(dense, targets, strict=True)]
    assert dense_ranks(dense, targets, ties=ties).tolist() == expected
    base = SortedBase.from_scores(scores.base)
    assert sparse_ranks(scores, targets, base, ties=ties).tolist() == expected


def test_a_base_is_recognized_by_its_values() -> None:
    base = float32([0, 3, 1, 3])
    ordered = SortedBase.from_scores(base)
    assert ordered.ascending.tolist() == [1, 3, 3]
    assert ordered.best_first.tolist() == [1, 3, 2]
    assert ordered.matches(base.copy())
    base[1] = 0  # a scorer that reuses its buffer must not be ranked by the old base
    assert not ordered.matches(base)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(bad: float) -> None:
    message = f"row 11, item 2: the score is {bad}; a scorer must give finite scores"
    with pytest.raises(ScoringError, match=message):
        dense_ranks(float32([[0, 1, 1], [0, 1, bad]]), int32(1, 1), first_row=10)
    listed = replace(small(), values=float32([bad, 1]))
    with pytest.raises(ScoringError, match=message):
        sparse_ranks(listed, int32(1, 1), SortedBase.from_scores(listed.base), first_row=11)
    with pytest.raises(ScoringError, match=f"item 3: the base score is {bad}; a scorer must give"):
        SortedBase.from_scores(float32([0, 1, 1, bad]))


def test_padding_is_ignored() -> None:
    assert dense_ranks(float32([[np.nan, 1, 2]]), int32(2)).tolist() == [1]
    assert SortedBase.from_scores(float32([np.inf, 1, 2])).ascending.tolist() == [1, 2]


def test_scores_of_the_wrong_shape_or_type() -> None:
    expected = "expected float32 scores with 1 rows and a column for each item, got "
    with pytest.raises(ScoringError, match=expected + "float64 of shape"):
        dense_ranks(np.zeros((1, 3)), int32(1))
    with pytest.raises(ScoringError, match=expected + r"float32 of shape \(2, 3\)"):
        dense_ranks(np.zeros((2, 3), dtype=np.float32), int32(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"offsets": np.array([0, 2])},
            "expected 3 ascending offsets from 0 to the 2",
        ),
        ({"offsets": np.array([1, 2, 2])}, "expected 3 ascending offsets"),
        ({"offsets": np.array([0, 3, 2])}, "expected 3 ascending offsets"),
        ({"values": float32([1])}, "expected 2 float32 values, one for each listed item, got 1"),
        ({"values": np.zeros(2)}, "expected 2 float32 values, .* got 2 of float64"),
        ({"base": float32([0, 0])}, r"expected a float32 base of shape \(4,\), got float32 of"),
        ({"items": int32(2, 2)}, r"row 5: item 2 is listed twice or is not in 1\.\.3"),
        ({"items": int32(0, 2)}, "row 5: item 0 is listed twice or is not in"),
        ({"items": int32(1, 4)}, "row 5: item 4 is listed twice or is not in"),
    ],
)
def test_invalid_sparse_scores(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        check_sparse(replace(small(), **changes), 2, 3, first_row=5)


def test_unknown_ties() -> None:
    with pytest.raises(ConfigError, match="ties must be worst, best or mean, got 'random'"):
        check_ties("random")
