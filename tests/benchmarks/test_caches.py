"""A benchmark that stores finished parts finds none of another configuration."""

import argparse
import re
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from docs_pages import ROOT
from nextclick.simulation.simulation_config import SimulationConfig
from small_shop import make_store

sys.path.insert(0, str(ROOT / "benchmarks"))
import cache_keys
import drift
import planted_signals
import recipes
import refresh
import serve
import serve_drills
import served_equals_offline

BENCHMARKS = ROOT / "benchmarks"
STORES = [
    path.name
    for path in sorted(BENCHMARKS.glob("*.py"))
    if "rerun the same command to resume" in " ".join(path.read_text("utf-8").split())
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="module")
def artifacts(store, tmp_path_factory):
    """Two trainings of one model with the same parameters."""
    from nextclick import train

    folder = tmp_path_factory.mktemp("artifacts")
    for name in ("a", "b"):
        train(store, "markov", folder / name)
    return folder / "a", folder / "b"


@pytest.mark.parametrize("name", STORES)
def test_what_is_stored_is_stored_in_a_cache_of_runs(name):
    source = (BENCHMARKS / name).read_text("utf-8")
    assert re.search(r"RunCache|\bTrial\(|\bcompare\(", source)


def test_drift_prepares_another_log_for_another_ring(tmp_path):
    small = drift.Ring(events=3000, items=30, days=8)
    first = drift.stores(small, tmp_path)
    second = drift.stores(replace(small, items=40), tmp_path)
    again = drift.stores(small, tmp_path)
    assert {form: len(one.items) for form, one in first.items()} == dict.fromkeys(drift.FORMS, 30)
    assert {form: len(one.items) for form, one in second.items()} == dict.fromkeys(drift.FORMS, 40)
    assert {form: one.path for form, one in again.items()} == {
        form: one.path for form, one in first.items()
    }


def test_drift_trains_for_other_epochs(store, tmp_path, monkeypatch):
    trained = []

    def train(store, model, *, config, **_):
        trained.append((config["epochs"], config["variant"]))
        return SimpleNamespace(model=None)

    def evaluate(model, sessions, **_):
        return SimpleNamespace(ranks=np.array([1.0 * trained[-1][0]]), session=np.array([0]))

    monkeypatch.setattr(drift, "train", train)
    monkeypatch.setattr(drift, "evaluate", evaluate)
    for epochs in (3, 5, 3):
        ranks = drift.ranked(store, "true-base", 0, {"epochs": epochs}, tmp_path)
        assert ranks["frozen"].tolist() == [epochs]
    drift.ranked(store, "true-full", 0, {"epochs": 3}, tmp_path)
    assert trained == [(3, "base"), (5, "base"), (3, "full")]


def test_planted_signals_simulates_another_shop(tmp_path, monkeypatch):
    question = planted_signals.QUESTIONS["users"]
    sizes = []
    for items in (60, 90, 60):
        shop = replace(question.shop, events=3000, items=items, categories=6, users=40)
        monkeypatch.setitem(planted_signals.QUESTIONS, "users", replace(question, shop=shop))
        found = planted_signals.stores("users", tmp_path)
        sizes.append({form: (one.path, one.fingerprint) for form, one in found.items()})
    assert isinstance(question.shop, SimulationConfig)
    assert sizes[0] == sizes[2]
    assert all(sizes[0][form] != sizes[1][form] for form in planted_signals.FORMS)


@pytest.mark.parametrize("change", ["threads", "train_on", "recipe", "store"])
def test_a_recipe_is_trained_again_if_anything_changes(store, tmp_path, monkeypatch, change):
    trained = []

    def train(store, model, place, *, config, train_on, **_):
        trained.append((store.fingerprint, config, train_on))
        done = {
            "validation": 0.1 * len(trained), "best_epoch": 1, "epochs": 1, "history": [],
            "samples_per_second": 1.0,
        }  # fmt: skip
        return SimpleNamespace(trained=done)

    monkeypatch.setattr(recipes, "train", train)
    monkeypatch.setattr(recipes, "evaluate", lambda *_, **__: SimpleNamespace(metrics={}))
    path = tmp_path / "narm.toml"
    path.write_text('model = "narm"\n[parameters]\nepochs = 5\n')

    def row(store, train_on="inner", threads=1):
        return recipes.row(store, path, tmp_path / "out", train_on, threads)["validation"]

    assert row(store) == row(store) == "10.00"
    other = {}
    if change == "recipe":
        path.write_text('model = "narm"\n[parameters]\nepochs = 6\n')
    elif change == "store":
        store = SimpleNamespace(fingerprint="other")
    else:
        other = {"threads": 2} if change == "threads" else {"train_on": "all"}
    assert row(store, **other) == "20.00"
    assert len(trained) == 2


@pytest.mark.parametrize("change", ["seconds", "target_ms", "server_core", "artifact"])
def test_a_server_is_measured_again_if_anything_changes(
    store, artifacts, tmp_path, monkeypatch, change
):
    measured = iter(range(9))
    monkeypatch.setattr(serve, "measured", lambda *_: {"n": next(measured)})
    options = {"seconds": 8.0, "target_ms": 10.0, "server_core": 0, "client_core": 1}
    cache = serve.RunCache(tmp_path)

    def row(artifact, **settings):
        given = argparse.Namespace(**options | settings)
        return serve.cached_row("markov", "nextclick", artifact, store, cache, given)["n"]

    assert row(artifacts[0]) == row(artifacts[0]) == 0
    if change == "artifact":
        assert row(artifacts[1]) == 1
    else:
        assert row(artifacts[0], **{change: 3}) == 1
    assert row(artifacts[0]) == 0


def test_serve_trains_on_as_many_events_as_asked(store, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(serve, "nextclick", lambda *words: commands.append(words))
    cache = serve.RunCache(tmp_path)
    n_events = store.part("train").n_events
    places = [serve.artifact_of("narm", store, cache, n) for n in (n_events, 3, n_events)]
    assert places[0] == places[2] != places[1]
    assert f"recent={3 / n_events}" in commands[1]


def test_a_drill_is_repeated_with_other_options(artifacts, tmp_path, monkeypatch):
    rates = []

    def drill(options, items, rate):
        rates.append(rate)
        return {"rate": rate, "folder": options.output.name}

    monkeypatch.setitem(serve_drills.DRILLS, "fuzz", drill)
    given = {"first": artifacts[0], "second": artifacts[1], "output": tmp_path, "drills": ["fuzz"]}
    for rate in (100.0, 200.0, 100.0):
        options = argparse.Namespace(**given, rate=rate, seed=0)
        assert serve_drills.cached_drill("fuzz", options, [])["rate"] == rate
    assert rates == [100.0, 200.0]


def test_served_answers_are_compared_again_for_another_k(artifacts, tmp_path, monkeypatch):
    asked = []

    def measured(folder, visits, k, at_once):
        asked.append(k)
        return served_equals_offline.Found(f"k={k}", 1, len(visits))

    monkeypatch.setattr(served_equals_offline, "measured", measured)
    for k in (20, 10, 20):
        options = argparse.Namespace(output=tmp_path, k=k, at_once=1)
        assert served_equals_offline.cached(artifacts[0], [], options).model == f"k={k}"
    assert asked == [20, 10]


def test_refresh_prepares_trains_and_ranks_again(tmp_path):
    rows = [(s, (s + n) % 25, s * 3_600_000 + n, s // 24) for s in range(24 * 6) for n in range(4)]
    schema = {"session": pl.Int64, "item": pl.Int64, "time": pl.Int64, "day": pl.Int64}
    clicks = pl.DataFrame(rows, schema=schema, orient="row")
    cache = refresh.RunCache(tmp_path)
    fewer = clicks.filter(pl.col("session") % 5 > 0)
    stores = [refresh.store_of(log, 5, cache) for log in (clicks, fewer, clicks)]
    assert stores[0].path == stores[2].path != stores[1].path
    assert len({one.fingerprint for one in stores}) == 2

    models = [refresh.trained("markov", one, {}, cache) for one in stores]
    assert models[0] == models[2]
    assert models[0].path != models[1].path
    results = [
        refresh.cached_measurement("markov", model, one, cache)
        for model, one in zip(models, stores, strict=True)
    ]
    assert results[0] == results[2]
    assert results[0] != results[1]

    given = {"epochs": 0, "rate": 0.5, "replay": 0.0, "holdout": 0.0, "label": "refreshed"}
    log = clicks.filter(pl.col("day") == 5).drop("day")
    places = [
        refresh.refreshed(models[0], log, None, argparse.Namespace(**given | more), cache).path
        for more in ({}, {"rate": 0.7}, {})
    ]
    assert places[0] == places[2] != places[1]


def test_a_new_version_of_the_package_finds_nothing(store, tmp_path, monkeypatch):
    calls = []
    for version in ("1", "2", "1"):
        monkeypatch.setattr("nextclick.experiments.run_cache.__version__", version)
        cache = serve.RunCache(tmp_path)
        cache.values("run", {"data": store.fingerprint}, lambda _: calls.append(1) or {"n": 1})
    assert len(calls) == 2


def test_the_keys_of_artifacts_and_clicks(artifacts, tmp_path):
    # the key depends on the training, not on the name of the folder
    copies = [shutil.copytree(path, tmp_path / path.name / "model") for path in artifacts]
    keys = [cache_keys.artifact_key(path) for path in artifacts]
    assert [cache_keys.artifact_key(path) for path in copies] == keys
    assert len(set(keys)) == 2
    one = pl.DataFrame({"item": [1, 2], "time": [3, 4]})
    assert cache_keys.clicks_key(one) == cache_keys.clicks_key(one[[1, 0]])
    others = [one.rename({"item": "x"}), one[:1], one.with_columns(item=pl.Series([1, 1]))]
    assert all(cache_keys.clicks_key(other) != cache_keys.clicks_key(one) for other in others)
