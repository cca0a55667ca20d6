"""What the costs of a comparison measure: the time of an answer, and memory."""

import time

import numpy as np
import pytest

from nextclick.core import peak_memory as peak
from nextclick.core.peak_memory import peak_memory_bytes, track_peak_memory
from nextclick.experiments import response_time as module
from nextclick.experiments.cached_run import step_seconds
from nextclick.experiments.model_training import train
from nextclick.experiments.response_time import measure_response_time
from nextclick.serving import Recommender
from small_shop import make_store

MIB = 1 << 20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


def test_the_time_of_an_answer_is_that_of_the_recommender(store, monkeypatch):
    asked = []

    class Slow:
        """Takes 1 ms, and 20 ms for each third query that counts."""

        def __init__(self, artifact):
            self.artifact = artifact

        def recommend(self, sessions, k):
            asked.append((sessions, k))
            counted = len(asked) - module._WARM_UP
            time.sleep(0.02 if counted > 0 and counted % 3 == 0 else 0.001)

    monkeypatch.setattr(module, "_WARM_UP", 2)
    sessions = store.part("test")
    artifact = train(store, "pop")
    trained = measure_response_time(Slow(artifact), sessions, 3, queries=len(sessions))
    assert trained.queries == len(sessions) - 2 == len(asked) - 2
    assert 1.0 <= trained.median < 15.0 < trained.p99
    raw = artifact.items.raw
    known = [[raw(int(i)) for i in sessions.session(s)[:-1] if i] for s in range(len(sessions))]
    assert sorted(map(repr, asked)) == sorted(repr(([clicks], 3)) for clicks in known)


def test_slow_models_are_asked_less_often(store, monkeypatch):
    monkeypatch.setattr(module, "_MAX_SECONDS", 0.0)
    monkeypatch.setattr(module, "_WARM_UP", 1)
    recommender = Recommender(train(store, "pop"))
    assert measure_response_time(recommender, store.part("test"), 2, queries=100).queries == 1


@pytest.mark.skipif(not peak._CLEAR_REFS.exists(), reason="this system forgets no peak")
def test_the_peak_of_work_is_that_of_the_block():
    large = np.ones(200 * MIB, dtype=np.uint8)
    del large
    with track_peak_memory() as small:
        pass
    with track_peak_memory() as found:
        work = np.ones(120 * MIB, dtype=np.uint8)
        del work
    assert 100 * MIB < found[0] - small[0] < 190 * MIB
    assert peak_memory_bytes() >= found[0]


def test_training_costs_its_steps_and_no_imports_or_validation():
    assert step_seconds({"seconds": 9.0}) == 9.0  # a model that counts
    history = [{"seconds": 1.5}, {"seconds": 1.0}]
    assert step_seconds({"seconds": 9.0, "history": history, "selection_history": None}) == 2.5
    trained = {"seconds": 9.0, "history": history, "selection_history": [{"seconds": 2.0}]}
    assert step_seconds(trained) == 4.5
