"""The block of `now` chooses the graph of TASRec: online, over HTTP and offline alike."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.core.time_blocks import TimeBlocks
from nextclick.serving import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from serving_cases import Client, make_app, neural_artifact

DAY = 86_400
BLOCKS = TimeBlocks.from_first(1_700_000_000_000, 1.0, timezone="Europe/Berlin")
K = 5


def start(block):
    return BLOCKS.start_ms(block) / 1000


@pytest.fixture(scope="module")
def artifact():
    """TASRec with whole days 0 and 1, and a first session of day 2."""
    base = neural_artifact("tasrec", n_items=12)
    later = replace(Sessions.from_lists([[1, 2]], 12), blocks=np.array([9], np.int32))
    model = base.model.with_history(later, before=0)
    for day in ([[1, 2], [3, 4, 5]], [[1, 7], [3, 6], [2, 4]]):
        model.advance(Sessions.from_lists(day, 12))
    model.keep_open(Sessions.from_lists([[1, 9], [3, 9]], 12))
    return replace(base, model=model, trained=base.trained | {"protocol": BLOCKS.to_protocol()})


def answers(artifact, sessions, **moment):
    recommender = Recommender(artifact)
    return [answer.items for answer in recommender.recommend(sessions, K, **moment)]


def offline(artifact, sessions, block):
    recommender = Recommender(artifact)
    requests = [recommender.resolve(RecommendationRequest(s, K)) for s in sessions]
    scores = artifact.model.at_block(block).score(to_batch(requests))[:, 1:]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return [[artifact.items.raw(int(i) + 1) for i in row] for row in order]


SESSIONS = [[10, 30], [30, 20], [10]]


def test_the_block_of_now_chooses_the_graph(artifact):
    expected = {block: offline(artifact, SESSIONS, block) for block in (1, 2, 3)}
    assert expected[1] != expected[2] == expected[3]
    times = [[start(1) + 60 * n for n in range(len(s))] for s in SESSIONS]
    assert answers(artifact, SESSIONS) == expected[2]
    assert answers(artifact, SESSIONS, times=times) == expected[1]
    for block, seconds in ((1, start(2) - 0.001), (2, start(2)), (3, start(3) + DAY)):
        assert answers(artifact, SESSIONS, times=times, now=seconds) == expected[block]


def test_times_on_another_clock_choose_nothing(artifact):
    times = [[5.0 * n for n in range(len(s))] for s in SESSIONS]
    assert answers(artifact, SESSIONS, times=times) == answers(artifact, SESSIONS)


def test_a_batch_may_have_requests_of_several_days(artifact):
    now = [start(2), start(1) + 90, start(3)]
    times = [[start(1) + n for n in range(len(s))] for s in SESSIONS]
    found = answers(artifact, SESSIONS, times=times, now=now)
    expected = [offline(artifact, SESSIONS, b)[n] for n, b in enumerate((2, 1, 3))]
    assert found == expected


def test_the_explanation_is_of_the_same_graph(artifact):
    recommender = Recommender(artifact)
    times = [start(1), start(1) + 9]
    links = {
        now: recommender.explain([10, 30], times=times, now=now).links[0].neighbors
        for now in (start(1) + 10, start(2))
    }
    assert list(links.values()) == [[20], [70]]


def test_the_server_answers_as_the_recommender(artifact, tmp_path):
    artifact.save(tmp_path / "model")
    times = [start(1), start(1) + 9]
    with Client(make_app({"m": tmp_path / "model"})) as client:
        for now, block in ((start(1) + 10, 1), (start(2), 2)):
            body = {"session": [10, 30], "times": times, "now": now, "k": K}
            answer = client.post("/v1/recommend", body).json()
            assert answer["items"] == offline(artifact, [[10, 30]], block)[0]
