"""Rules and segments in evaluations, comparisons and searches of a store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nextclick import CompareOptions, compare, evaluate, train, tune
from nextclick.core.item_rules import ItemRules
from nextclick.errors import ConfigError, ProtocolError
from nextclick.experiments import cached_run
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.comparison import compare_results
from nextclick.experiments.search_options import TuneOptions
from small_shop import make_store

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextclick.report.report_files.why_no_plots", lambda: "not drawn")


def options(store: Store, rules: ItemRules, **values: object) -> CompareOptions:
    protocol = replace(store_protocol(store), rules=rules)
    return CompareOptions(ks=[1, 3], protocol=protocol, **values)  # type: ignore[arg-type]


def test_hidden_targets_are_misses(store: Store) -> None:
    artifact = train(store, "pop")
    targets = [
        int(item) for session in map(store.part("test").session, range(6)) for item in session[1:]
    ]
    share = np.mean([store.items.raw(target) == 20 for target in targets])
    protocol = replace(store_protocol(store), rules=ItemRules(allow=(20,)))
    result = evaluate(artifact, store, ks=[1], protocol=protocol)
    assert result.metrics["recall@1"].value == pytest.approx(share)
    blocked = replace(store_protocol(store), rules=ItemRules(block=(20,)))
    result = evaluate(artifact, store, ks=[5], protocol=blocked)
    assert result.metrics["recall@5"].value == pytest.approx(1 - share)
    assert result.protocol["rules"] == "block '20'"


def test_rules_are_measured_again_without_training_and_never_mixed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = compare(store, ["pop", "markov"], tmp_path / "plain", options(store, ItemRules()))
    assert plain.numbers["protocol"]["rules"] is None
    folder = tmp_path / "rules"
    first = compare(store, ["pop", "markov"], folder, options(store, ItemRules(block=(10,))))

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(cached_run, "train", fail)
    second = compare(store, ["pop", "markov"], folder, options(store, ItemRules(exclude_seen=True)))
    assert first.numbers["protocol"]["rules"] == "block '10'"
    assert second.numbers["protocol"]["rules"] == "exclude seen"
    assert "rules exclude seen" in (folder / "report.html").read_text()
    again = compare(store, ["pop", "markov"], folder, options(store, ItemRules(block=("10",))))
    assert again.numbers["leaderboard"][0]["metrics"] == first.numbers["leaderboard"][0]["metrics"]
    with pytest.raises(ProtocolError, match=r"protocol\.rules is .not stated. and"):
        compare_results([tmp_path / "plain/pop/result.json", folder / "markov/result.json"])


def test_an_item_that_is_not_in_the_store_is_no_candidate(store: Store) -> None:
    with pytest.raises(ConfigError, match="allow names no item of the model"):
        compare(store, ["pop"], None, options(store, ItemRules(allow=(99,))))
    search = TuneOptions(metric="recall@2", trials=1, rules=ItemRules(allow=(99,)))
    with pytest.raises(ConfigError, match="allow names no item of the model"):
        tune(store, "rules", "study", search)


def test_a_search_ranks_the_candidates_only(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("matplotlib")
    folder = tmp_path / "study"
    search = TuneOptions(metric="recall@1", grid={"steps": [1, 2]})
    plain = tune(store, "rules", tmp_path / "plain", search).numbers
    hidden = replace(search, rules=ItemRules(block=(10, 20, 30, 40)))
    found = tune(store, "rules", folder, hidden).numbers
    assert (plain["rules"], found["rules"]) == (None, "block '10' '20' '30' '40'")
    assert plain["best"]["value"] > found["best"]["value"]
    with pytest.raises(ConfigError, match="with other settings: rules is"):
        tune(store, "rules", folder, search)


def test_segments_in_results_and_report(store: Store, tmp_path: Path) -> None:
    by = ["prefix-length", "popularity"]
    compared = compare(
        store, ["pop", "markov"], tmp_path / "out", options(store, ItemRules(), by=by)
    )
    numbers = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [segments["name"] for segments in numbers["segments"]] == ["target", *by]
    for segments in numbers["segments"]:
        for row in numbers["leaderboard"]:
            means = [r["metrics"][row["label"]]["recall@3"]["value"] for r in segments["rows"]]
            weights = [r["prefixes"] for r in segments["rows"]]
            total = row["metrics"]["recall@3"]["value"]
            assert np.average(means, weights=weights) == pytest.approx(total)
            assert sum(weights) == numbers["counts"]["prefixes"]
    page = (tmp_path / "out/report.html").read_text()
    assert "By popularity of the target" in page
    table = (tmp_path / "out/segments.csv").read_text().splitlines()
    assert table[0].startswith("by,segment,label,prefixes,sessions,recall@1")
    assert len(table) - 1 == 2 * sum(len(s["rows"]) for s in numbers["segments"])
    assert compared.results[0].evaluation["segments"]["target"]


def test_invalid_segments_are_refused(store: Store) -> None:
    for by, message in (
        (
            ["length"],
            "by must name segments of prefix-length, popularity, user, earlier-sessions, got",
        ),
        (["popularity", "popularity"], "by must name each segmentation once"),
        (["user"], "by user needs a log with users"),
        (["earlier-sessions"], "by earlier-sessions needs a log with users and times"),
    ):
        with pytest.raises(ConfigError, match=message):
            compare(store, ["pop"], None, options(store, ItemRules(), by=by))
