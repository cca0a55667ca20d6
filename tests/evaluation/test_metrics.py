"""Metrics by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nextclick.core.metrics import mrr, ndcg, recall
from nextclick.evaluation.ranking_metrics import LengthRow, by_length, per_prefix, session_sums

RANKS = np.array([1, 2, 5, 20, 21, np.inf])


def test_recall() -> None:
    assert recall(RANKS, 20).tolist() == [1, 1, 1, 1, 0, 0]
    assert recall(RANKS, 2).tolist() == [1, 1, 0, 0, 0, 0]


def test_mrr_is_0_beyond_k() -> None:
    assert mrr(RANKS, 20).tolist() == [1, 0.5, 0.2, 0.05, 0, 0]
    assert mrr(RANKS, 4).tolist() == [1, 0.5, 0, 0, 0, 0]


def test_ndcg() -> None:
    found = ndcg(np.array([1.0, 3.0, 7.0, 8.0, np.inf]), 7)
    assert found.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0, 0])


def test_names() -> None:
    assert list(per_prefix(RANKS, [5])) == ["recall@5", "mrr@5", "ndcg@5"]


def test_sums_by_session() -> None:
    session = np.array([2, 2, 5, 9, 9, 9])
    sums, prefixes = session_sums(session, {"a": np.arange(6.0), "b": np.ones(6)})
    assert sums.tolist() == [[1, 2], [2, 1], [12, 3]]
    assert prefixes.tolist() == [2, 1, 3]


def test_by_length_hand_worked() -> None:
    position = np.array([1, 1, 3, 19, 20, 400], dtype=np.int32)
    ranks = np.array([1.0, 30.0, 2.0, np.inf, 4.0, 21.0])
    table = by_length(position, ranks, per_prefix(ranks, [20]), [20])
    assert [(row.label, row.prefixes, row.hits) for row in table] == [
        ("1", 2, {20: 1}),
        ("3", 1, {20: 1}),
        ("19", 1, {20: 0}),
        ("20+", 2, {20: 1}),
    ]
    assert table[0].metrics == {"recall@20": 0.5, "mrr@20": 0.5, "ndcg@20": 0.5}
    assert table[3].metrics["mrr@20"] == 0.125
    assert isinstance(table[0], LengthRow)
    assert sum(row.prefixes for row in table) == len(ranks)
