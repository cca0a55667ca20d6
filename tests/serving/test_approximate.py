"""Approximate search: what it finds has exact scores, and it may not answer below its recall."""

import numpy as np
import pytest

from nextclick.serving import Recommender
from nextclick.serving.query import Query
from nextclick.serving.scorers import scorer_of
from serving_cases import neural_artifact

approximate = pytest.importorskip("nextclick.serving.approximate", reason="needs faiss")
N = 3000
SESSIONS = [[10, 20], [500, 70, 70], [29990], [40, 50, 60, 70, 80]]


@pytest.fixture
def recommender(monkeypatch):
    monkeypatch.setattr(approximate, "_SMALLEST", 0)
    return Recommender(neural_artifact("gru4rec", n_items=N))


def search(recommender, min_recall):
    exact = scorer_of(recommender.artifact.model)
    return exact, *approximate.approximated(exact, min_recall)


def test_scores_are_exact_and_most_of_the_best_are_found(recommender):
    exact, found, told = search(recommender, 0.9)
    assert told["kind"] == "approximate"
    assert 0.9 <= told["recall@20"] <= 1.0
    wishes = [recommender.wish(Query(session, 20)) for session in SESSIONS]
    shared = []
    for (items, scores), (true, best) in zip(found.best(wishes), exact.best(wishes), strict=True):
        assert (np.diff(scores) <= 0).all()
        known = dict(zip(true.tolist(), best.tolist(), strict=True))
        at = [k for k, item in enumerate(items.tolist()) if item in known]
        expected = [known[items[k]] for k in at]
        np.testing.assert_allclose(scores[at], expected, atol=1e-4)
        shared.append(len(at) / len(true))
    assert np.mean(shared) >= 0.8


def test_what_is_hidden_stays_hidden_and_a_short_list_is_answered_exactly(recommender):
    exact, found, _ = search(recommender, 0.5)
    seen = recommender.wish(Query(SESSIONS[0], 20, exclude_seen=True))
    ((items, _),) = found.best([seen])
    assert not np.isin(items, seen.hidden).any()
    few = recommender.wish(Query(SESSIONS[0], 3, allow=[10, 300, 4000, 12340]))
    assert found.best([few])[0][0].tolist() == exact.best([few])[0][0].tolist()


def test_too_little_recall_is_refused_and_said(recommender):
    exact, found, told = search(recommender, 1.01)
    assert found is exact
    assert told["kind"] == "exact"
    assert "less than 1.01" in told["why"]


def test_small_catalogues_are_scored_exactly():
    exact = scorer_of(neural_artifact("gru4rec", n_items=40).model)
    found, told = approximate.approximated(exact, 0.9)
    assert found is exact
    assert told == {"kind": "exact", "why": "40 items are scored exactly as fast"}
