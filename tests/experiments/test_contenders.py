"""What a benchmark has tried is found again by its values, not by its place in the list."""

from types import SimpleNamespace

import pytest

from benchmark_module import benchmark_module


@pytest.fixture(scope="module")
def contenders():
    with benchmark_module("contenders") as module:
        yield module


def test_another_list_of_values_tries_what_is_new(contenders, monkeypatch, tmp_path):
    trained, store = [], SimpleNamespace(fingerprint="feed")

    def train(store, model, *, config, **_):
        trained.append(config["rate"])
        return SimpleNamespace(rate=config["rate"], trained={"seconds": 0.0})

    def evaluate(artifact, *_, **__):
        return SimpleNamespace(metrics={"recall@20": SimpleNamespace(value=artifact.rate)})

    monkeypatch.setattr(contenders, "train", train)
    monkeypatch.setattr(contenders, "evaluate", evaluate)

    def best(*rates):
        contender = contenders.ModelCandidate("narm", tried=[{"rate": rate} for rate in rates])
        trial = contenders.Trial("narm", contender, store, tmp_path, ks=[20], values={})
        return trial.chosen()["values"]

    assert best(0.01) == {"rate": 0.01}
    assert best(0.02, 0.01) == {"rate": 0.02}
    assert trained == [0.01, 0.02]
