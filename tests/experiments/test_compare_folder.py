"""Comparing: trained once, gone on with after a stop or a kill, failures named, a report made."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from nextclick import CompareOptions, compare, evaluate, train
from nextclick.errors import (
    ArtifactError,
    ConfigError,
    InterruptedRunError,
    NextclickWarning,
    OutputError,
    ProtocolError,
)
from nextclick.evaluation import Result
from nextclick.experiments import cached_run as model_run
from nextclick.experiments import comparison as module
from nextclick.experiments.comparison import compare_results
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.models.model_registry import model_names
from small_shop import SESSIONS, make_store

ONE = CompareOptions(ks=[1, 3])
# figures are drawn by one test alone: they take seconds
NOT_DRAWN = "left out in this test"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(autouse=True)
def _tiny_and_quick(request, monkeypatch, tiny_model):
    if request.node.name != "test_the_folder":
        monkeypatch.setattr("nextclick.report.report_files.why_no_plots", lambda: NOT_DRAWN)


@pytest.fixture
def trained(monkeypatch):
    """Model and seed of every training that was really done."""
    trainings = []

    def record_training(store, model, **options):
        trainings.append((model, options["seed"]))
        return train(store, model, **options)

    monkeypatch.setattr(model_run, "train", record_training)
    return trainings


def without_costs(folder):
    """The content of `comparison.json` without measured times and memory."""
    numbers = json.loads((folder / "comparison.json").read_text())
    for row in numbers["leaderboard"]:
        del row["costs"]
    return numbers


@pytest.mark.figures
def test_the_folder(store, tmp_path):
    pytest.importorskip("matplotlib")
    place = tmp_path / "all"
    compared = compare(store, ["pop", "markov"], place, ONE)
    assert [row["label"] for row in compared.numbers["leaderboard"]] == ["markov", "pop"]
    assert compared.no_figures_reason is None
    names = {path.name for path in place.iterdir()}
    assert {"report.html", "comparison.json", "leaderboard.csv", "figures", "pop"} <= names
    drawn = {path.name for path in (place / "figures").iterdir()}
    assert {"leaderboard.png", "latency.svg", "mrr-at-k.png", "by-length.svg"} <= drawn
    for name in ("pop", "markov"):
        read = Result.read(place / name / "result.json")
        assert read.metrics == evaluate(place / name / "artifact", store, ks=[1, 3]).metrics
    costs = compared.numbers["leaderboard"][0]["costs"]
    size = sum(f.stat().st_size for f in (place / "markov/artifact").rglob("*") if f.is_file())
    assert costs["size_bytes"] == size
    assert costs["response_ms"]["p99"] >= costs["response_ms"]["median"] > 0
    assert costs["memory_bytes"] is None or costs["memory_bytes"] > 1 << 20


def test_more_models_and_seeds_train_what_is_new(store, tmp_path, trained):
    place = tmp_path / "all"
    compare(store, ["markov", "bpr-mf"], place, ONE)
    assert trained == [("markov", 0), ("bpr-mf", 0)]
    again = compare(store, ["markov", "bpr-mf"], place, ONE)
    assert len(trained) == 2
    more = CompareOptions(ks=[1, 3], seeds=range(2))
    seeds = compare(store, ["pop", "markov", "bpr-mf"], place, more).numbers
    assert trained[2:] == [("pop", 0), ("bpr-mf", 1)]  # markov draws nothing at random
    by_label = {row["label"]: row for row in seeds["leaderboard"]}
    assert by_label["bpr-mf"]["seeds"] == [0, 1]
    assert by_label["markov"]["deterministic"]
    assert by_label["bpr-mf"]["folders"] == ["bpr-mf", "bpr-mf-1"]
    assert (again.numbers["single_seed"], seeds["single_seed"]) == (["bpr-mf"], [])
    assert {pair["scope"] for pair in seeds["pairs"]} == {"methods"}
    other = CompareOptions(ks=[1, 3], settings={"bpr-mf.factors": "3"})
    found = compare(store, ["bpr-mf"], place, other)
    assert found.numbers["leaderboard"][0]["folders"] == ["bpr-mf.2"]
    assert (place / "bpr-mf/artifact").exists()
    other = CompareOptions(ks=[2])
    assert compare(store, ["markov"], place, other).results[0].evaluation["ks"] == [2]
    assert len(trained) == 5


def test_what_was_trained_before_stands_beside_the_rest(store, tmp_path, trained):
    for seed in range(2):
        train(store, "bpr-mf", tmp_path / f"m/bpr-{seed}", train_on="inner", seed=seed)
    train(store, "markov", tmp_path / "m/markov/artifact", train_on="inner")
    given = [f"factors={tmp_path}/m/bpr-0", f"factors={tmp_path}/m/bpr-1"]
    models = ["pop", *given, f"{tmp_path}/m/markov/artifact"]
    options = CompareOptions(ks=[1, 3], train_on="inner", seeds=range(2))
    compared = compare(store, models, tmp_path / "all", options)
    assert trained == [("pop", 0)]
    rows = {row["label"]: row for row in compared.numbers["leaderboard"]}
    assert rows["factors"]["seeds"] == [0, 1]
    assert rows["factors"]["folders"] == ["factors", "factors.2"]
    assert rows["markov"]["costs"]["size_bytes"] > 0
    assert rows["markov"]["costs"]["memory_bytes"] is None
    assert compared.numbers["protocol"]["trained_on"] == "train_inner"
    (markov,) = (one for one in compared.results if one.model == "markov")
    assert markov.metrics == evaluate(tmp_path / "m/markov/artifact", store, ks=[1, 3]).metrics
    again = compare(store, models, tmp_path / "all", options)
    assert (again.numbers, trained) == (compared.numbers, [("pop", 0)])
    train(store, "bpr-mf", tmp_path / "m/bpr-1", train_on="inner", seed=5, overwrite=True)
    (one,) = compare(store, given[1:], tmp_path / "all", options).results
    assert one.seed == 5


def test_what_was_trained_before_must_fit(store, tmp_path):
    train(store, "pop", tmp_path / "m/pop", train_on="inner")
    given = [f"{tmp_path}/m/pop"]
    with pytest.raises(
        ConfigError, match="pop was trained on train_inner, the other models on train"
    ):
        compare(store, given, tmp_path / "all", ONE)
    with pytest.raises(ConfigError, match="trained now; there are none: omit epochs"):
        parse_model_specs(given, {"epochs": 3})
    with pytest.raises(ConfigError, match="models must name each model once, got pop twice"):
        parse_model_specs(["pop", *given], {})
    with pytest.raises(ConfigError, match="models must differ, got a and b"):
        parse_model_specs([f"a={given[0]}", f"b={given[0]}"], {})
    with pytest.raises(ArtifactError, match="is not an artifact"):
        parse_model_specs([f"{tmp_path}/m"], {})
    other = make_store(tmp_path / "other", SESSIONS[::-1])
    with pytest.raises(ConfigError, match="pop was trained on another store"):
        compare(other, given, tmp_path / "all", CompareOptions(ks=[1], train_on="inner"))
    assert not (tmp_path / "all").exists()


def test_another_part_and_another_store(store, tmp_path, trained):
    place = tmp_path / "all"
    valid = CompareOptions(ks=[2], part="valid", seeds=[4])
    (result,) = compare(store, ["pop"], place, valid).results
    assert (result.seed, result.protocol["part"], result.protocol["trained_on"]) == (
        4, "valid", "train_inner",
    )  # fmt: skip
    compare(store, ["pop"], place, CompareOptions(ks=[2], seeds=[4]))
    assert trained == [("pop", 4), ("pop", 4)]
    other = make_store(tmp_path / "other", SESSIONS[::-1])
    with pytest.raises(ConfigError, match="with other settings: data_fingerprint is"):
        compare(other, ["pop"], place, ONE)
    compare(other, ["pop"], place, ONE, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(
        OutputError, match=r"holds files of something other than a nextclick.comparison"
    ):
        compare(store, ["pop"], tmp_path / "mine", ONE)


def test_a_stopped_comparison_goes_on_and_says_the_same(store, tmp_path, trained):
    models = ["markov", "tiny", "pop"]
    options = CompareOptions(ks=[1, 3], settings={"tiny.metric": "mrr@3", "tiny.threads": "1"})
    compare(store, models, tmp_path / "whole", options)
    place = tmp_path / "stopped"

    def stop(stage, done, total):
        assert total == 300
        if "2 of 3: tiny · train · selecting epochs · epoch 2" in stage:
            raise KeyboardInterrupt

    with pytest.raises(
        InterruptedRunError, match="stopped after 1 of 3 trainings; completed ones are kept"
    ):
        compare(store, models, place, options, progress=stop)
    half = without_costs(place)
    assert (half["pending"], [row["label"] for row in half["leaderboard"]]) == (
        ["tiny", "pop"], ["markov"],
    )  # fmt: skip
    assert "Not finished yet: tiny and pop." in (place / "report.html").read_text()
    assert not (place / "tiny/artifact").exists()
    del trained[:]
    compare(store, models, place, options)
    assert trained == [("tiny", 0), ("pop", 0)]
    assert without_costs(place) == without_costs(tmp_path / "whole")
    assert not list(place.rglob("checkpoint"))
    with pytest.raises(InterruptedRunError, match="nothing is kept without --output"):
        compare(store, models, options=options, progress=stop)


def test_a_killed_comparison_goes_on_and_says_the_same(store, tmp_path):
    models = ["markov", "bpr-mf@epochs=2000", "pop"]
    place = tmp_path / "killed"
    command = [sys.executable, "-m", "nextclick", "compare", store.path, "-k", "1,3", "-o", place]
    with subprocess.Popen([*command, "-m", ",".join(models)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (place / "bpr-mf@epochs=2000/run.json").exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert not (place / "report.html").exists()
    kept = (place / "markov/artifact/manifest.json").stat().st_mtime_ns
    compare(store, models, place, ONE)
    compare(store, models, tmp_path / "whole", ONE)
    assert (place / "markov/artifact/manifest.json").stat().st_mtime_ns == kept
    assert without_costs(place) == without_costs(tmp_path / "whole")


def test_a_model_that_fails_is_a_row(store, tmp_path, trained, monkeypatch):
    def short_of_memory(*args, **kwargs):
        raise RuntimeError("CUDA out of memory")

    models = ["pop", "far=tiny@learning_rate=1e30", "fpmc@users=true"]
    options = CompareOptions(ks=[1, 3], settings={"metric": "mrr@3", "threads": 1})
    compared = compare(store, models, tmp_path / "all", options)
    reasons = {one["label"]: one["reason"] for one in compared.numbers["failed"]}
    assert list(reasons) == ["far", "fpmc@users=true"]
    assert re.match(r"(Training|Scoring)Error: .*finite", reasons["far"])
    assert "reads users, and" in reasons["fpmc@users=true"]
    page = (tmp_path / "all/report.html").read_text()
    assert "Failed runs" in page
    assert reasons["far"][:30] in page
    nothing = compare(store, ["fpmc@users=true"], tmp_path / "none", ONE)
    assert nothing.results == []
    assert "Failed runs" in (tmp_path / "none/report.html").read_text()
    monkeypatch.setattr(model_run, "train", short_of_memory)
    compared = compare(store, ["pop", "s-pop"], tmp_path / "all", options_of(options))
    assert [one["reason"] for one in compared.numbers["failed"]] == [
        "out of memory: CUDA out of memory"
    ]
    monkeypatch.setattr(model_run, "train", lambda *a, **k: {}["a fault"])
    with pytest.raises(KeyError):
        compare(store, ["rules"], tmp_path / "all", ONE)


def options_of(options):
    """The same without parameters."""
    return CompareOptions(ks=options.ks)


def test_results_of_files(store, tmp_path):
    compare(store, ["pop", "markov"], tmp_path / "all", ONE)
    files = sorted((tmp_path / "all").glob("*/result.json"))
    both = compare_results(files, tmp_path / "again")
    assert both.numbers["pairs"] == without_costs(tmp_path / "all")["pairs"]
    shutil.copy(files[0], tmp_path / "alone.json")
    bare = compare_results([tmp_path / "alone.json", files[1]])
    assert bare.numbers["no_pairs_reason"] == "the ranks of some models were not stored"
    assert "was not tested: the ranks of some" in bare.numbers["summary"]["text"]
    with pytest.raises(ConfigError, match="against must be one of markov, pop, got 'narm'"):
        compare_results(files, against="narm")
    (tmp_path / "all/pop/costs.json").write_text("{}")
    with pytest.raises(
        ProtocolError, match=r"cannot read the costs: .*; delete the file and compare again"
    ):
        compare_results(files)


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("tiny@wide", {}, ("tiny@wide", "tiny", "wide", {})),
        (
            "tiny@wide+epochs=7+dropout=0",
            {"epochs": 9},
            ("tiny@wide+epochs=7+dropout=0", "tiny", "wide", {"epochs": 9, "dropout": "0"}),
        ),
        ("m=tiny@width=3", {"m.epochs": 1}, ("m", "tiny", None, {"width": "3", "epochs": 1})),
        ("mine=FILE", {"tiny.epochs": 1}, ("mine", "tiny", "wide", {"width": 5, "epochs": 1})),
        ("FILE", {}, ("quick", "tiny", "wide", {"width": 5})),
    ],
)  # fmt: skip
def test_entries_of_models(tmp_path, text, settings, expected):
    recipe = tmp_path / "quick.toml"
    recipe.write_text('model = "tiny"\npreset = "wide"\nseed = 3\n[parameters]\nwidth = 5\n')
    (model_spec,) = parse_model_specs([text.replace("FILE", str(recipe))], settings)
    candidate = model_spec.candidate
    assert (
        model_spec.label,
        candidate.name,
        candidate.preset,
        dict(candidate.fixed),
    ) == expected


def test_all_is_every_model_once():
    assert [model_spec.label for model_spec in parse_model_specs(["all", "narm@global"], {})] == [
        *model_names(),
        "narm@global",
    ]
    with pytest.raises(ConfigError, match="models must name each model once, got narm twice"):
        parse_model_specs(["all", "narm"], {})


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "models must name at least one of pop, s-pop, .*, got none"),
        (["pop", "pop"], {}, "models must name each model once, got pop twice"),
        (["pop", "p=pop"], {}, "models must differ, got pop and p, which have the same parameters"),
        (["pop", "popp"], {}, "there is no model 'popp'"),
        (["tiny@no"], {}, "tiny has no preset 'no'"),
        (["tiny@wide+default"], {}, "names two presets, wide and default; a parameter is NAME="),
        (["tiny@widht=3"], {}, "tiny has no parameter 'widht': did you mean width"),
        (["pop"], {"settings": {"epochs": 3}}, "pop and one of its parameters, got epochs"),
        (["pop"], {"settings": {"tiny.epochs": 3}}, "pop and one of its parameters, got tiny"),
        (["pop"], {"part": "train"}, "part must be test or valid, got 'train'"),
        (["pop"], {"train_on": "test"}, "train_on must be inner or all, got 'test'"),
        (["pop"], {"part": "valid", "train_on": "all"}, "train_on must be inner with part valid"),
        (["pop"], {"seeds": []}, r"seeds must be one or more different integers, got \[\]"),
        (["pop"], {"ks": []}, r"ks must name at least one cut-off in 1\.\.5, got none"),
        (["pop"], {"metric": "mrr@2"}, "metric must be one of recall@1, mrr@1, .*, got 'mrr@2'"),
        (["pop"], {"against": "narm"}, "against must be one of pop, got 'narm'"),
    ],
)  # fmt: skip
def test_bad_input_is_rejected_before_training(store, tmp_path, models, options, message):
    with pytest.raises(ConfigError, match=message):
        compare(store, models, tmp_path / "all", CompareOptions(**({"ks": [1]} | options)))
    assert list(tmp_path.iterdir()) == []


def test_cutoffs_above_the_catalog_are_lowered(store):
    options = CompareOptions(ks=(2, 10, 20), metric="mrr@20")
    with pytest.warns(NextclickWarning, match="5 items: K = [12]0 is lowered to 5"):
        numbers = compare(store, ["pop"], options=options).numbers
    assert numbers["leaderboard"][0]["metrics"].keys() >= {"recall@2", "mrr@5"}
    assert numbers["k"] == 5


def test_without_output_no_files_are_kept(store):
    compared = compare(store, ["pop"], options=ONE)
    assert (compared.path, compared.no_figures_reason) == (None, None)
    assert module.compare is compare
