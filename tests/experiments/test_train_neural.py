"""Training of neural models: epoch selection, artifacts, resuming, and errors."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from nextclick import CompareOptions, Recommender, Store, compare, evaluate, prepare, train
from nextclick.artifact import Artifact
from nextclick.core import storage as folders
from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions
from nextclick.errors import (
    ArtifactError,
    ConfigError,
    NextclickWarning,
    OutputError,
    ProtocolError,
)
from nextclick.evaluation import leaderboard
from nextclick.training import run_log as report
from nextclick.training.training_config import NeuralOptions
from reference.tiny_model import weights

DAY = 86_400_000
N = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A log in which item i is followed by item i + 1, over ten days."""
    return make_store(tmp_path_factory.mktemp("store"))


def make_store(folder, more=()):
    rng = np.random.default_rng(0)
    rows = list(more)
    for session in range(400):
        start, begin = rng.integers(N), int(rng.integers(10)) * DAY + session * 1000
        rows += [
            (session, f"item{(start + k) % N}", begin + 1000 * k) for k in range(rng.integers(2, 7))
        ]
    log = pl.DataFrame(rows, schema=["session_id", "item_id", "timestamp"], orient="row")
    log.write_parquet(folder / "log.parquet")
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="last-days")
    )
    return prepare(folder / "log.parquet", folder / "store", options=options).store


@pytest.fixture(autouse=True)
def _tiny_and_quick(monkeypatch, tiny_model):
    monkeypatch.setattr(folders, "sync_tree", lambda folder: None)  # nobody pulls the plug here


QUICK = {"epochs": 12, "learning_rate": 0.05, "batch_size": 64, "threads": 1, "metric": "mrr@5"}


def test_two_ways_of_training_are_two_rows(store, tmp_path):
    ways = {"few": {"epochs": 1}, "more": {"epochs": 2}, "shared": {"epochs": 1, "threads": 2}}
    for name, changed in ways.items():
        train(store, "tiny", tmp_path / name, config=QUICK | changed)
    few, more, shared = (evaluate(tmp_path / n, store, ks=[5], n_bootstrap=0) for n in ways)
    rows = leaderboard([few, more], metric="mrr@5")
    assert {row.label for row in rows} == {"tiny epochs=1", "tiny epochs=2"}
    with pytest.raises(ProtocolError, match="are the same model, config and seed 0"):
        leaderboard([few, shared], metric="mrr@5")


def test_a_planted_rule_is_learned(store, tmp_path):
    artifact = train(store, "tiny", tmp_path / "model", config=QUICK)
    result = evaluate(tmp_path / "model", store, ks=[1], n_bootstrap=0)
    assert result.evaluation["metrics"]["recall@1"]["value"] > 0.9
    loaded = Artifact.load(tmp_path / "model")
    assert loaded.trained == json.loads(json.dumps(artifact.trained))
    assert weights(loaded.model) == weights(artifact.model)
    (answer,) = Recommender.load(tmp_path / "model").recommend([["item3", "item4"]], k=1)
    assert answer.items == ["item5"]


def test_what_the_artifact_says_of_its_training(store):
    artifact = train(store, "tiny", config=QUICK | {"patience": 2}, seed=7, train_on="inner")
    trained = artifact.trained
    assert (trained["part"], trained["seed"], trained["preset"]) == ("train_inner", 7, "default")
    assert trained["counts"] == store.manifest["counts"]["train_inner"]
    assert trained["training"]["learning_rate"] == 0.05
    best = trained["history"][trained["best_epoch"] - 1]["mrr@5"]
    assert trained["validation"] == best == max(e["mrr@5"] for e in trained["history"])
    assert trained["epochs"] == len(trained["history"])
    assert (trained["device"], trained["threads"], trained["selection_history"]) == ("cpu", 1, None)
    assert trained["samples_per_second"] > 0
    # the selection metric equals that of `evaluate` on the validation
    result = evaluate(artifact, store, part="valid", ks=[5], n_bootstrap=0)
    assert result.evaluation["metrics"]["mrr@5"]["value"] == best


def test_the_validation_leaves_out_what_nobody_could_know(tmp_path):
    # sessions of the validation that end on an item of its own, "news"
    more = [
        (1000 + s, item, 9 * DAY + (250 + s) * 1000 + n)
        for s in range(20)
        for n, item in enumerate(["item1", "news"])
    ]
    store = make_store(tmp_path, more)
    news = store.items.index("news")
    assert store.part("train_inner").support()[news] == 0 < store.part("valid").support()[news]
    artifact = train(store, "tiny", config=QUICK, train_on="inner")
    assert max(e["mrr@5"] for e in artifact.trained["history"]) > 0.9
    result = evaluate(artifact, store, part="valid", ks=[5], n_bootstrap=0)
    assert result.evaluation["metrics"]["mrr@5"]["value"] == artifact.trained["validation"]


def test_by_default_the_number_of_epochs_is_chosen_first_and_then_all_is_trained_on(store):
    config = QUICK | {"epochs": 6, "patience": 1}
    chosen = train(store, "tiny", config=config, train_on="inner")
    refit = train(store, "tiny", config=config)
    assert (chosen.trained["part"], refit.trained["part"]) == ("train_inner", "train")
    selection = refit.trained["selection_history"]
    assert [e["mrr@5"] for e in selection] == [e["mrr@5"] for e in chosen.trained["history"]]
    assert refit.trained["epochs"] == refit.trained["best_epoch"] == chosen.trained["best_epoch"]
    assert refit.trained["validation"] == chosen.trained["validation"]
    assert "mrr@5" not in refit.trained["history"][0]
    assert refit.trained["history"][0]["samples"] == store.part("train").n_prefixes
    assert refit.trained["training"]["keep"] == "best"
    with pytest.raises(ConfigError, match="part valid: the model was trained on it"):
        evaluate(refit, store, part="valid")


@pytest.mark.parametrize(("part", "validated"), [("inner", True), ("all", False)])
def test_keep_last_trains_for_exactly_so_many_epochs(store, part, validated):
    config = QUICK | {"epochs": 3, "keep": "last"}
    trained = train(store, "tiny", config=config, train_on=part).trained
    assert (trained["epochs"], trained["best_epoch"], trained["selection_history"]) == (3, 3, None)
    assert (trained["validation"] is not None) == validated


def test_presets(store):
    artifact = train(store, "tiny", neural=NeuralOptions(preset="wide"), config={"threads": 1})
    assert artifact.model.config.width == 24
    assert (artifact.trained["preset"], artifact.trained["epochs"]) == ("wide", 2)
    with pytest.raises(ConfigError, match="tiny has no preset 'wid': did you mean wide"):
        train(store, "tiny", neural=NeuralOptions(preset="wid"))


def test_the_folder_of_a_run(store, tmp_path):
    config = QUICK | {"epochs": 2}
    trained = train(store, "tiny", tmp_path / "model", config=config, train_on="all").trained
    files = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "model.training").rglob("*"))
    assert files == [
        "model.training/choose",
        "model.training/choose/metrics.jsonl",
        "model.training/metrics.jsonl",
    ]
    lines = (tmp_path / "model.training/metrics.jsonl").read_text().splitlines()
    intervals = [{"event": "interval", **interval} for interval in trained["history"]]
    lines = [{n: v for n, v in json.loads(line).items() if n != "step"} for line in lines]
    assert lines == intervals


def test_one_progress_bar_over_both_trainings(store, monkeypatch):
    """It ends at the number of all planned prefixes, however many epochs are selected."""
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    calls = []
    config = QUICK | {"epochs": 4, "patience": 1}
    train(store, "tiny", config=config, progress=lambda *call: calls.append(call))
    names = list(dict.fromkeys(stage.split(" · ")[1] for stage, _, _ in calls))
    assert names == ["selecting epochs", "final training"]
    done = [n for _, n, _ in calls]
    assert done == sorted(done)
    n_inner, n_all = (4 * store.part(part).n_prefixes for part in ("train_inner", "train"))
    assert {total for _, _, total in calls} == {n_inner + n_all}
    assert done[-1] == n_inner + n_all


class KilledError(Exception):
    """Stands for a kill."""


def killed(at):
    """A progress callback that raises at its `at`-th call."""

    def progress(stage, done, total):
        progress.n_calls += 1
        if progress.n_calls == at:
            raise KilledError

    progress.n_calls = 0
    return progress


@pytest.mark.parametrize("part", ["inner", "all"])
def test_a_killed_run_goes_on_to_the_same_weights(store, tmp_path, monkeypatch, part):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    config = QUICK | {"epochs": 4, "checkpoint_minutes": 0}
    count = killed(0)
    whole = train(store, "tiny", tmp_path / "whole", config=config, train_on=part, progress=count)
    for number, share in enumerate((0.3, 0.6, 0.9)):
        folder = tmp_path / f"model-{number}"
        with pytest.raises(KilledError):
            train(store, "tiny", folder, config=config, train_on=part,
                  progress=killed(int(count.n_calls * share)))  # fmt: skip
        assert not folder.exists()
        with pytest.raises(
            OutputError, match="checkpoint of an interrupted training; use --resume"
        ):
            train(store, "tiny", folder, config=config, train_on=part)
        resumed = train(
            store, "tiny", folder, config=config, train_on=part, neural=NeuralOptions(resume=True)
        )
        assert weights(resumed.model) == weights(whole.model)
        assert resumed.trained["best_epoch"] == whole.trained["best_epoch"]
        assert not list(tmp_path.rglob("checkpoint"))


def test_overwrite_begins_anew(store, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    config = QUICK | {"epochs": 2, "checkpoint_minutes": 0}
    with pytest.raises(KilledError):
        train(store, "tiny", tmp_path / "model", config=config, progress=killed(9))
    train(store, "tiny", tmp_path / "model", config=config | {"epochs": 1}, overwrite=True)
    assert Artifact.load(tmp_path / "model").trained["epochs"] == 1


def test_resumed_with_other_parameters_or_data(store, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    config = QUICK | {"epochs": 2, "checkpoint_minutes": 0}
    with pytest.raises(KilledError):
        train(store, "tiny", tmp_path / "model", config=config, progress=killed(9))
    resume = NeuralOptions(resume=True)
    with pytest.raises(ArtifactError, match=r"other training .*: batch_size is 64 in .* and 32"):
        train(store, "tiny", tmp_path / "model", config=config | {"batch_size": 32}, neural=resume)
    other = Store(store.path, store.manifest | {"fingerprint": "feed"})
    with pytest.raises(ArtifactError, match=r"other data \(fingerprint .*\): store is .*'feed'"):
        train(other, "tiny", tmp_path / "model", config=config, neural=resume)


def test_nothing_to_resume(store, tmp_path):
    with pytest.raises(ArtifactError, match=r"model\.training.* has no checkpoint to resume from"):
        train(store, "tiny", tmp_path / "model", neural=NeuralOptions(resume=True))


def test_insufficient_memory_is_reported_before_training(store, monkeypatch):
    monkeypatch.setattr("nextclick.experiments.training_setup.free_memory", lambda device: 1 << 20)
    with pytest.raises(
        ConfigError,
        match=r"training needs about \d\.\d\d GiB of memory and 0\.00 GiB are free \(.*loss",
    ):
        train(store, "tiny", config={"batch_size": 10**6})


def test_the_metric_of_a_small_catalog(store):
    config = {"metric": "mrr@31", "epochs": 1}
    with pytest.warns(NextclickWarning, match="30 items: K = 31 is lowered to 30"):
        trained = train(store, "tiny", config=config, train_on="inner").trained
    assert trained["training"]["metric"] == "mrr@30"
    assert trained["validation"] == trained["history"][0]["mrr@30"]


def test_what_does_not_fit(store):
    with pytest.raises(ConfigError, match="pop is not a neural model: omit preset, device"):
        train(store, "pop", neural=NeuralOptions(device="cpu"))
    with pytest.raises(ConfigError, match="train_on must be inner or all, got 'test'"):
        train(store, "tiny", train_on="test")


def test_neural_and_counting_models_in_one_table(store):
    settings = {f"tiny.{name}": value for name, value in QUICK.items()}
    options = CompareOptions(ks=[1], settings=settings)
    compared = compare(store, ["tiny", "markov"], options=options)
    recall = {r.model: r.evaluation["metrics"]["recall@1"]["value"] for r in compared.results}
    assert recall["tiny"] > 0.8
    assert recall["markov"] > 0.8


def test_a_counting_model_imports_no_neural_library(store):
    program = (
        "import sys, nextclick\n"
        f"nextclick.train({str(store.path)!r}, 'pop')\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
