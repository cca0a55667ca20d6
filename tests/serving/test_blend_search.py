"""A blend is served as it is evaluated: items, order, scores, filters, live sessions."""

import numpy as np
import pytest

from nextclick import train
from nextclick.core.filtered_topk import CandidateFilter
from nextclick.core.item_rules import ItemRules
from nextclick.core.topk import dense_top
from nextclick.evaluation.masked_scores import filtered_dense_top
from nextclick.serving import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.serving.warm_up import calibrate_search, warm_up
from serving_cases import Client, make_app
from small_shop import SESSIONS

QUICK = "epochs=2+batch_size=32+threads=1+metric=recall@3"
COUNTING = "session-knn,pop"
NEURAL = f"session-knn,narm@{QUICK},gru4rec@hidden_width=8+epochs=2+metric=recall@3"


@pytest.fixture(scope="module", params=[COUNTING, NEURAL])
def blend(request, store):
    artifact = train(store, "blend", config={"members": request.param, "candidates": 3})
    return artifact, 0.0 if request.param == COUNTING else 1e-5


def resolved(recommender, sessions, **more):
    return [recommender.resolve(RecommendationRequest(s, 4, **more)) for s in sessions]


@pytest.mark.parametrize("size", [1, 8])
def test_served_equals_offline(blend, size):
    artifact, tolerance = blend
    recommender = Recommender(artifact)
    requests = resolved(recommender, SESSIONS[:8])
    for start in range(0, 8, size):
        part = requests[start : start + size]
        offline = artifact.model.score(to_batch(part))
        lists = dense_top(offline, 4)
        for b, (items, scores) in enumerate(recommender.searcher.top(part)):
            assert items.tolist() == lists[b][lists[b] > 0].tolist()
            np.testing.assert_allclose(scores, offline[b, items], rtol=0, atol=tolerance)


def test_filters_apply_to_the_scored_candidates(blend):
    artifact, _ = blend
    recommender = Recommender(artifact)
    for filters in ({"exclude_seen": True}, {"allow": [10, 50]}, {"block": [20, 30]}):
        requests = resolved(recommender, SESSIONS[:6], rules=ItemRules(**filters))
        offline = artifact.model.score(to_batch(requests))
        lists = filtered_dense_top(offline, CandidateFilter.of(requests), 4)
        for row, (items, _) in zip(lists, recommender.searcher.top(requests), strict=True):
            assert items.tolist() == row[row > 0].tolist()


def test_the_searches_of_all_members_are_verified(blend):
    artifact, _ = blend
    recommender = Recommender(artifact)
    warm_up(recommender)
    search = calibrate_search(recommender)
    assert search["method"] == "blend"
    assert list(search["members"]) == artifact.model.labels


def test_a_saved_blend_is_one_folder_that_a_server_answers_from(blend, tmp_path):
    artifact, tolerance = blend
    artifact.save(tmp_path / "model")
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix == ".pkl"]
    session = SESSIONS[0]
    ((items, scores),) = Recommender(artifact).searcher.top(
        resolved(Recommender(artifact), [session])
    )
    with Client(make_app({"m": tmp_path / "model"})) as client:
        answer = client.post("/v1/recommend", json={"session": session, "k": 4}).json()
    assert answer["items"][: len(items)] == artifact.items.raw_ids(items)
    np.testing.assert_allclose(answer["scores"][: len(items)], scores, atol=tolerance)


def test_an_explanation_names_members_and_features(blend):
    artifact, _ = blend
    explanation = Recommender(artifact).explain([10, 20], k=2)
    assert {"session-knn: score", "session-knn: absent", "last click"} <= set(
        explanation.parts.rest
    )
    total = np.sum(list(explanation.parts.rest.values()), axis=0)
    np.testing.assert_allclose(total, explanation.now.scores, atol=1e-4)
    assert explanation.neighbors
