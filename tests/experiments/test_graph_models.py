"""The graph models from a log to a recommendation."""

import numpy as np
import pytest

from nextclick import CompareOptions, Recommender, compare, evaluate, prepare, train
from nextclick.core import storage as folders
from nextclick.core.manifests import rewrite_manifest
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate as rank
from nextclick.evaluation import leaderboard
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training import run_log as report
from nextclick.training.training_config import NeuralOptions
from reference.served import check_served_is_offline
from reference.temporal_graph import exact_weights, in_units
from reference.tiny_model import weights
from small_shop import make_store

QUICK = {"epochs": 2, "threads": 1, "negatives": 32, "batch_size": 128, "max_length": 4}
SMALL = {
    "sr-gnn": QUICK | {"width": 16, "steps": 2},
    "lessr": QUICK | {"width": 8},
    "tasrec": QUICK | {"width": 8, "hops": 2},
    "csrm": QUICK | {"embedding_width": 8, "hidden_width": 8, "memory_size": 500, "neighbors": 9},
    "lgsr": QUICK | {"width": 8, "walks": 2, "walk_length": 5, "graph_negatives": 8},
}
PUBLISHED = {
    "sr-gnn": "paper",
    "lessr": "paper",
    "csrm": "paper",
    "lgsr": "paper",
    "tasrec": "paper",
}


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=2_500, items=80, users=100, days=5, categories=5)
    simulate(config, folder / "log.parquet")
    options = PrepareOptions(split=SplitOptions(kind="fraction"))
    return prepare(folder / "log.parquet", folder / "store", options=options).store


@pytest.fixture(autouse=True)
def _keep_quickly(monkeypatch):
    monkeypatch.setattr(folders, "sync_tree", lambda folder: None)  # nobody pulls the plug here


@pytest.mark.parametrize("name", SMALL)
def test_the_served_answer_is_the_offline_one(store, tmp_path, name):
    train(store, name, tmp_path / "model", config=SMALL[name])
    check_served_is_offline(tmp_path / "model", store)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_model_and_metrics(store, tmp_path, name):
    first, again, other = (
        train(store, name, tmp_path / f"{number}", config=SMALL[name], seed=seed)
        for number, seed in enumerate((3, 3, 4))
    )
    assert weights(first.model) == weights(again.model)
    assert weights(first.model) != weights(other.model)
    figures = [
        evaluate(tmp_path / f"{number}", store, ks=[10], n_bootstrap=0).evaluation["metrics"]
        for number in range(2)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("name", SMALL)
def test_a_killed_run_goes_on_to_the_same_weights_and_memory(store, tmp_path, monkeypatch, name):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    config = SMALL[name] | {"checkpoint_minutes": 0}
    n_reports = 0

    def progress(stage, done, total):
        nonlocal n_reports
        n_reports += 1
        if n_reports == kill_at:
            raise KilledError

    kill_at = -1
    whole = train(store, name, tmp_path / "whole", config=config, progress=progress)
    n_reports, kill_at = 0, int(n_reports * 0.7)
    with pytest.raises(KilledError):
        train(store, name, tmp_path / "model", config=config, progress=progress)
    resumed = train(
        store, name, tmp_path / "model", config=config, neural=NeuralOptions(resume=True)
    )
    assert weights(resumed.model) == weights(whole.model)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_preset_trains(store, name):
    own = {n: v for n, v in SMALL[name].items() if n not in ("negatives", "batch_size")}
    options = NeuralOptions(preset=PUBLISHED[name])
    artifact = train(store, name, config=own | {"epochs": 1}, neural=options)
    assert artifact.trained["training"]["loss"] == "ce"
    assert np.isfinite(artifact.trained["history"][0]["loss"])


def test_the_memory_in_the_artifact_is_of_the_latest_training_sessions(store, tmp_path):
    artifact = train(store, "csrm", tmp_path / "model", config=SMALL["csrm"])
    fit = store.part("train")
    session = np.asarray(artifact.model.state()["memory.session"])
    assert len(session) == 500
    assert session.max() == len(fit) - 1
    n_targets = np.diff(fit.offsets)[session.min() + 1 :] - 1
    assert n_targets.sum() <= 500
    loaded = Recommender.load(tmp_path / "model").artifact.model
    assert weights(loaded) == weights(artifact.model)


def tasrec_graph(store, part, known_of="train"):
    """(pairs with their weights, the last block that is over) of a part, by the definition.

    The part ends within its last block.
    """
    sessions = store.part(part).mask_unseen_items(store.part(known_of).support())
    assert store.part("test").blocks[0] == store.part("train").blocks[-1]
    sessions = sessions.slice(0, int(np.searchsorted(sessions.blocks, sessions.blocks[-1])))
    days = [[] for _ in range(int(sessions.blocks[0]), int(sessions.blocks[-1]) + 1)]
    for s, block in enumerate(sessions.blocks):
        days[block - sessions.blocks[0]].append(sessions.session(s).tolist())
    units = in_units(exact_weights(days))
    return {(i << 32) | j: n for (i, j), n in units.items()}, int(sessions.blocks[-1])


@pytest.mark.parametrize(("train_on", "part"), [("inner", "train_inner"), ("all", "train")])
def test_tasrec_keeps_the_days_of_all_training(store, tmp_path, train_on, part):
    config = SMALL["tasrec"] | {"epochs": 1}
    train(store, "tasrec", tmp_path / "model", config=config, train_on=train_on)
    state = Recommender.load(tmp_path / "model").artifact.model.state()
    edges = dict(zip(state["graph_edges"].tolist(), state["graph_weights"].tolist(), strict=True))
    assert (edges, int(state["last_block"][0])) == tasrec_graph(store, "train", part)


def test_tasrec_is_evaluated_frozen_and_prequentially(store, tmp_path):
    artifact = train(store, "tasrec", tmp_path / "model", config=SMALL["tasrec"])
    before = artifact.model.state()["graph_edges"].tolist()
    frozen = evaluate(artifact, store, ks=[10], n_bootstrap=10)
    moving = evaluate(artifact, store, ks=[10], n_bootstrap=10, prequential=True)
    assert (frozen.prequential, moving.prequential) == (False, True)
    assert frozen.evaluation["blocks"] == []
    blocks = np.unique(store.part("test").blocks).tolist()
    assert [row["block"] for row in moving.evaluation["blocks"]] == blocks
    assert artifact.model.state()["graph_edges"].tolist() == before
    alive = {row["block"]: row["neighbor_pairs"] for row in artifact.trained["neighbor_pairs"]}
    for row in moving.evaluation["blocks"][:1]:
        assert row["neighbor_pairs"] == alive[row["block"]]
    labels = {row.label for row in leaderboard([frozen, moving], metric="recall@10")}
    assert labels == {"tasrec", "tasrec (prequential)"}


def test_only_who_keeps_days_is_compared_prequentially(store, tmp_path):
    options = CompareOptions(ks=[10], prequential=True, settings=SMALL["tasrec"])
    compared = compare(store, ["pop", "tasrec", "tasrec@base"], tmp_path / "all", options)
    assert compared.numbers["failed"] == []
    assert {row["label"]: row["prequential"] for row in compared.numbers["leaderboard"]} == {
        "pop": False,
        "tasrec": True,
        "tasrec@base": False,
    }
    names = {"full": "tasrec", "base": "tasrec@base"}
    artifacts = [f"{label}={tmp_path}/all/{name}/artifact" for label, name in names.items()]
    compared_artifacts = compare(
        store, artifacts, options=CompareOptions(ks=[10], prequential=True)
    )
    assert [result.prequential for result in compared_artifacts.results] == [True, False]
    (moving,) = (result for result in compared.results if result.prequential)
    again = evaluate(tmp_path / "all/tasrec/artifact", store, ks=[10], prequential=True)
    assert (moving.metrics, moving.evaluation["blocks"]) == (
        again.metrics,
        again.evaluation["blocks"],
    )


def test_tasrec_is_chosen_on_days_that_come_one_after_the_other(store):
    artifact = train(store, "tasrec", config=SMALL["tasrec"], train_on="inner")
    again = evaluate(artifact, store, part="valid", ks=[20], n_bootstrap=0, prequential=True)
    assert artifact.trained["validation"] == again.metrics["recall@20"].value


def test_an_evaluation_on_the_validation_does_not_know_it(store):
    config = SMALL["tasrec"] | {"epochs": 1}
    artifact = train(store, "tasrec", config=config, train_on="inner")
    evaluation = evaluate(artifact, store, part="valid", ks=[10], n_bootstrap=0)
    inner = store.part("train_inner")
    assert store.part("valid").blocks[0] == inner.blocks[-1]
    model = artifact.model.with_history(inner, before=int(inner.blocks[-1]))
    valid = store.part("valid").mask_unseen_items(artifact.support)
    expected = rank(model, valid, ks=[10], protocol=store_protocol(store), n_bootstrap=0)
    assert evaluation.metrics["recall@10"].value == expected.metrics["recall@10"].value


def test_who_keeps_no_days_is_not_evaluated_prequentially(store):
    for name, config in (("pop", {}), ("tasrec", SMALL["tasrec"] | {"variant": "base"})):
        artifact = train(store, name, config=config)
        with pytest.raises(ConfigError, match=f"prequential must be false for {name}: with these"):
            evaluate(artifact, store, prequential=True)


def test_a_log_without_times_has_no_days(tmp_path):
    store = make_store(tmp_path / "store")
    (store.path / "train" / "blocks.npy").unlink()  # as of a log that has only an order
    rewrite_manifest(store.path)
    with pytest.raises(ConfigError, match=r"reads blocks of time, and .* has none: .*--block-days"):
        train(store.path, "tasrec")
