"""Sweeps: points and seeds, caching, resuming, figures, and errors."""

import csv
import json
import shutil

import pytest

from nextclick import evaluate, train
from nextclick.errors import ConfigError, InterruptedRunError, NextclickWarning
from nextclick.experiments import cached_run as model_run
from nextclick.experiments import parameter_sweep
from nextclick.experiments.parameter_sweep import sweep
from nextclick.experiments.search_options import SweepOptions
from small_shop import make_store

pytest.importorskip("matplotlib")

METRIC = "mrr@3"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(autouse=True)
def _tiny_and_quick(request, monkeypatch, tiny_model):
    if request.node.name != "test_two_parameters_of_a_model_that_counts":
        monkeypatch.setattr(parameter_sweep, "_draw", lambda folder, numbers, name: None)


@pytest.fixture
def trained(monkeypatch):
    """The parameters of every training that was not cached."""
    trainings = []

    def record_training(store, model, **options):
        trainings.append((options["config"], options["seed"], options["train_on"]))
        return train(store, model, **options)

    monkeypatch.setattr(model_run, "train", record_training)
    return trainings


@pytest.mark.figures
def test_two_parameters_of_a_model_that_counts(store, tmp_path):
    options = SweepOptions({"steps": ["1", "2"], "weighting": ["same", "div"]}, METRIC)
    swept = sweep(store, "rules", tmp_path / "sweep", options)
    numbers = swept.numbers
    assert numbers["params"] == {"steps": [1, 2], "weighting": ["same", "div"]}
    assert [p["parameters"] for p in numbers["points"]] == [
        {"steps": 1, "weighting": "same"},
        {"steps": 1, "weighting": "div"},
        {"steps": 2, "weighting": "same"},
        {"steps": 2, "weighting": "div"},
    ]
    for point in numbers["points"]:
        artifact = train(store, "rules", config=point["parameters"], train_on="inner")
        expected = evaluate(artifact, store, part="valid", ks=[3]).metrics[METRIC]
        assert (point["value"], point["low"], point["high"]) == (
            expected.value,
            expected.low,
            expected.high,
        )
        assert point["training_seconds"]["mean"] > 0
        assert point["processor_seconds"]["mean"] > 0
        assert point["response_ms"]["mean"] > 0
    names = sorted(path.name for path in (tmp_path / "sweep").iterdir())
    assert names == ["manifest.json", "runs", "sweep.csv", "sweep.json", "sweep.png", "sweep.svg"]
    assert json.loads((tmp_path / "sweep/sweep.json").read_text()) == numbers
    with (tmp_path / "sweep/sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["valid"] * 4
    assert [float(row[METRIC]) for row in rows] == [p["value"] for p in numbers["points"]]


def test_more_values_and_seeds_train_what_is_new(store, tmp_path, trained):
    folder = tmp_path / "sweep"
    sweep(store, "markov", folder, SweepOptions({"neighbors": [1, 2]}, METRIC))
    assert len(trained) == 2
    again = sweep(store, "markov", folder, SweepOptions({"neighbors": [1, 2]}, METRIC))
    assert len(trained) == 2
    more = sweep(store, "markov", folder, SweepOptions({"neighbors": [1, 2, 5]}, METRIC, seeds=2))
    assert [(c["neighbors"], seed) for c, seed, _ in trained[2:]] == [
        (1, 1), (2, 1), (5, 0), (5, 1)
    ]  # fmt: skip
    assert more.numbers["points"][0]["value"] == again.numbers["points"][0]["value"]
    assert more.numbers["points"][0]["seed_deviation"] == 0.0


def test_the_test_part_is_measured_only_if_asked(store, tmp_path, trained):
    over = {"neighbors": [1, 5]}
    shutil.copytree(store.path, tmp_path / "store")
    shutil.rmtree(tmp_path / "store/test")
    without = sweep(tmp_path / "store", "markov", tmp_path / "a", SweepOptions(over, METRIC))
    with_test = sweep(store, "markov", tmp_path / "b", SweepOptions(over, METRIC))
    values = [[p["value"] for p in s.numbers["points"]] for s in (without, with_test)]
    assert values[0] == values[1]
    tested = sweep(store, "markov", tmp_path / "c", SweepOptions(over, METRIC, part="test"))
    assert tested.numbers["part"] == "test"
    assert trained[-1][2] == "all"
    expected = evaluate(train(store, "markov"), store, ks=[3]).metrics[METRIC]
    assert tested.numbers["points"][1]["value"] == expected.value
    options = SweepOptions(over, METRIC, part="test", train_on="inner")
    inner = sweep(store, "markov", tmp_path / "d", options)
    assert (tested.numbers["trained_on"], inner.numbers["trained_on"]) == ("train", "train_inner")
    assert trained[-1][2] == "inner"


@pytest.mark.parametrize(("model", "fixed"), [("markov", {}), ("tiny", {"threads": "1"})])
def test_a_stopped_sweep_goes_on(store, tmp_path, trained, model, fixed):
    over = {"markov": {"neighbors": [1, 5]}, "tiny": {"width": [4, 8]}}[model]
    options = SweepOptions(over, METRIC, fixed=fixed)

    def stop(stage, done, total):
        assert total == 200
        if stage.startswith("sweep · 2 of 2: "):
            raise KeyboardInterrupt

    with pytest.raises(
        InterruptedRunError, match="stopped after 1 of 2 trainings; completed ones are kept"
    ):
        sweep(store, model, tmp_path / "sweep", options, progress=stop)
    del trained[:]
    swept = sweep(store, model, tmp_path / "sweep", options)
    assert len(trained) == 1
    assert len(swept.numbers["points"]) == 2
    assert not list((tmp_path / "sweep/runs").rglob("checkpoint"))
    assert not list((tmp_path / "sweep/runs").rglob("artifact"))


def test_another_sweep_in_the_folder(store, tmp_path):
    options = SweepOptions({"neighbors": [1, 2]}, METRIC)
    sweep(store, "markov", tmp_path / "sweep", options)
    with pytest.raises(
        ConfigError, match=r"other settings: model is 'markov' there and 'item-knn' here"
    ):
        sweep(store, "item-knn", tmp_path / "sweep", options)


def test_the_metric_of_a_small_catalog(store, tmp_path):
    options = SweepOptions(params={"neighbors": [1]}, metric="mrr@20")
    with pytest.warns(NextclickWarning, match="5 items: K = 20 is lowered to 5"):
        numbers = sweep(store, "markov", tmp_path / "sweep", options).numbers
    assert numbers["metric"] == "mrr@5"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("markov", {"params": {}}, "params must name one or two parameters, got none"),
        (
            "markov",
            {"params": {"a": [1], "b": [1], "c": [1]}},
            "params must name one or two parameters, got a, b, c",
        ),
        ("markov", {"part": "train"}, "part must be test or valid, got 'train'"),
        ("markov", {"train_on": "all"}, "train_on must be inner with part valid: all includes"),
        ("markov", {"seeds": 0}, "seeds must be 1 or more, got 0"),
        ("markov", {"params": {"neighbor": [1]}}, "markov has no parameter 'neighbor'"),
        ("markov", {"params": {"neighbors": [1, 0]}}, "markov: neighbors must be integer ≥ 1"),
        ("tiny", {"fixed": {"metric": "mrr@3"}}, "use --metric"),
        (
            "bpr-mf",
            {"params": {"of": ["session", "user"]}},
            "bpr-mf with these parameters reads users",
        ),
    ],
)
def test_bad_input(store, tmp_path, model, options, message):
    arguments = {"params": {"neighbors": [1, 2]}, "metric": METRIC} | options
    if model == "tiny":
        arguments["params"] = {"width": [4]}
    with pytest.raises(ConfigError) as error:
        sweep(store, model, tmp_path / "sweep", SweepOptions(**arguments))
    assert message in str(error.value)
    assert not (tmp_path / "sweep").exists()
