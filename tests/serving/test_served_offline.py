"""What is served is what evaluation ranks: ids, order, scores."""

import numpy as np
import pytest

from installed import COUNTING
from nextclick import train
from nextclick.core.topk import dense_top
from nextclick.serving import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from reference.neural_cases import CASES
from serving_cases import Client, make_app, neural_artifact
from small_shop import SESSIONS

K = 5


def offline(artifact, sessions, k=K):
    """Ids and scores by `score` and `dense_top`."""
    recommender = Recommender(artifact)
    wishes = [recommender.resolve(RecommendationRequest(session, k)) for session in sessions]
    scores = artifact.model.score(to_batch(wishes))
    found = []
    for row, items in zip(scores, dense_top(scores, k), strict=True):
        items = items[items > 0]
        found.append(([artifact.items.raw(int(i)) for i in items], row[items]))
    return found


def check(answers, expected):
    for answer, (items, scores) in zip(answers, expected, strict=True):
        n = answer["from_model"]
        assert answer["items"][:n] == items
        np.testing.assert_allclose(answer["scores"][:n], scores, atol=1e-4)


@pytest.mark.parametrize("name", COUNTING)
def test_counting_models(store, tmp_path, name):
    artifact = train(store, name, tmp_path / "model")
    sessions = SESSIONS[:5]
    with Client(make_app({"m": tmp_path / "model"})) as client:
        batch = {"requests": [{"session": session, "k": K} for session in sessions]}
        check(
            client.post("/v1/recommend/batch", batch).json()["responses"],
            offline(artifact, sessions),
        )


@pytest.mark.parametrize("case", CASES)
def test_neural_models_at_once_and_click_by_click(tmp_path, case):
    artifact = neural_artifact(case, n_items=40)
    artifact.save(tmp_path / "model")
    rng = np.random.default_rng(0)
    sessions = [(rng.integers(1, 12, size=n) * 10).tolist() for n in (1, 2, 5, 7, 9)]
    with Client(make_app({"m": tmp_path / "model"})) as client:
        batch = {"requests": [{"session": session, "k": K} for session in sessions]}
        check(
            client.post("/v1/recommend/batch", batch).json()["responses"],
            offline(artifact, sessions),
        )
        for s, session in enumerate(sessions):
            prefixes = [session[: n + 1] for n in range(len(session))]
            answers = [
                client.post(f"/v1/sessions/{s}/events", {"item": p[-1], "k": K}).json()
                for p in prefixes
            ]
            check([a["recommendation"] for a in answers], offline(artifact, prefixes))
