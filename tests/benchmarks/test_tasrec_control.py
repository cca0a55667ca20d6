"""The control of TASRec's graph: no edge, and a run that continues where one ended."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from docs_pages import ROOT
from nextclick import Store, prepare

sys.path.insert(0, str(ROOT / "benchmarks"))
import drift
import tasrec_control


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    ring = drift.Ring(events=3_000, items=40, days=8)
    folder = tmp_path_factory.mktemp("control") / "store"
    return prepare(ring.log(), folder, options=drift.OPTIONS).store


def control(store, file, **values):
    values = {"epochs": 1, "width": 4, "hops": 1, "threads": 1} | values
    return tasrec_control.Control(Store.open(store.path), file, values, (0.01, 0.02))


def test_the_control_has_the_layer_and_no_edge(store, tmp_path, monkeypatch):
    graphs = {}
    train = tasrec_control.train

    def spy(store, model, *, config, **arguments):
        artifact = train(store, model, config=config, **arguments)
        graphs[config["variant"], config.get("threshold")] = artifact.model
        return artifact

    monkeypatch.setattr(tasrec_control, "train", spy)
    trial = control(store, tmp_path / "control.jsonl")
    tasrec_control.show(trial, 1)
    full, empty = graphs["full", None], graphs["full", tasrec_control.NO_EDGES]
    assert max(full.neighbor_pairs.values()) > 0 == max(empty.neighbor_pairs.values())
    assert {n for n in full.state() if "temporal" in n} == {
        n for n in empty.state() if "temporal" in n
    }


def test_finished_trainings_are_not_repeated(store, tmp_path, monkeypatch):
    trained = []

    def train(store, model, *, config, train_on, seed):
        trained.append((config["variant"], config["learning_rate"], train_on, seed))
        part = {"inner": "train_inner", "all": "train"}[train_on]
        capabilities = SimpleNamespace(update="fine-tune")
        model = SimpleNamespace(capabilities=capabilities)
        return SimpleNamespace(model=model, trained={"seconds": 0.0, "part": part})

    def evaluate(*_, **__):
        return SimpleNamespace(metrics={"recall@20": SimpleNamespace(value=0.5)})

    def rank(*_, **__):
        return SimpleNamespace(ranks=np.array([1.0, 30.0]), session=np.array([0, 1]))

    for name, stub in (("train", train), ("evaluate", evaluate), ("rank_and_measure", rank)):
        monkeypatch.setattr(tasrec_control, name, stub)
    file = tmp_path / "control.jsonl"
    first = control(store, file).ranks("base", 0)
    assert trained == [
        ("base", 0.01, "inner", 0), ("base", 0.02, "inner", 0), ("base", 0.01, "all", 0)
    ]  # fmt: skip
    text = file.read_text()
    file.write_text(text + text.splitlines()[0][:30])  # a killed run
    again = control(store, file).ranks("base", 0)
    assert len(trained) == 3
    np.testing.assert_array_equal(first["ranks"], again["ranks"])
    control(store, file).ranks("base", 1)
    control(store, file, epochs=2).rate("base")
    assert trained[3:] == [
        ("base", 0.01, "all", 1), ("base", 0.01, "inner", 0), ("base", 0.02, "inner", 0)
    ]  # fmt: skip
    control(store, file).ranks("base", 1)
    assert len(trained) == 6, "the line after an incomplete one counts"
