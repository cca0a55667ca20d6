"""Studies: the first trial, the best recipe, no use of the test part, resuming, and errors."""

import csv
import json
import shutil

import numpy as np
import polars as pl
import pytest

from nextclick import Store, prepare, train
from nextclick.core import storage as folders
from nextclick.core.search_space import Choice, FloatRange, IntRange
from nextclick.errors import ConfigError, InterruptedRunError, OutputError
from nextclick.experiments import hyperparameter_search
from nextclick.experiments.recipe import read_recipe
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.tuning import tune
from nextclick.training.training_config import NeuralOptions
from reference.tiny_model import Tiny

pytest.importorskip("optuna")

from nextclick.experiments.tuning_study import open_study, report_validation, trial_rows

DAY = 86_400_000
N = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A log in which item i is followed by item i + 1, over ten days."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    rows = []
    for session in range(300):
        start, begin = rng.integers(N), int(rng.integers(10)) * DAY + session * 1000
        rows += [
            (session, f"item{(start + k) % N}", begin + 1000 * k) for k in range(rng.integers(2, 7))
        ]
    log = pl.DataFrame(rows, schema=["session_id", "item_id", "timestamp"], orient="row")
    return prepare(log, folder / "store").store


@pytest.fixture(autouse=True)
def _tiny_and_quick(request, monkeypatch, tiny_model):
    if request.node.name != "test_a_study_of_a_counting_model":  # figures take longer than all
        monkeypatch.setattr(
            "nextclick.experiments.tuning._draw", lambda folder, numbers, name: None
        )
    space = {"learning_rate": FloatRange(0.0001, 0.1, log=True), "width": Choice(8, 16)}
    monkeypatch.setattr(Tiny, "search_space", space)
    monkeypatch.setattr(folders, "sync_tree", lambda folder: None)  # nobody pulls the plug here


QUICK = {"epochs": 3, "batch_size": 64, "threads": 1, "learning_rate": 0.05}
METRIC = "mrr@5"


def trials_without_times(tuned):
    """The trials of a study without their durations."""
    return [{n: v for n, v in t.items() if n != "seconds"} for t in tuned.numbers["trials"]]


@pytest.mark.figures
def test_a_study_of_a_counting_model(store, tmp_path):
    options = TuneOptions(metric=METRIC, trials=8, seed=3)
    tuned = tune(store, "rules", tmp_path / "study", options)
    numbers = tuned.numbers
    assert numbers["trials"][0]["parameters"] == {
        "steps": 10, "weighting": "div", "neighbors": 100, "repeats": "learned"
    }  # fmt: skip
    assert numbers["preset_value"] == numbers["trials"][0]["value"] <= numbers["best"]["value"]
    assert numbers["states"] == {"complete": 8, "pruned": 0, "failed": 0}
    assert set(numbers["importance"]) <= {"steps", "weighting", "neighbors", "repeats"}
    names = sorted(p.name for p in (tmp_path / "study").iterdir())
    assert names == sorted(
        ["best.toml", "history.png", "history.svg", "importance.png", "importance.svg",
         "manifest.json", "study.json", "study.sqlite", "trials.csv"]
    )  # fmt: skip
    assert json.loads((tmp_path / "study/study.json").read_text()) == numbers
    with (tmp_path / "study/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [t["value"] for t in numbers["trials"]]
    assert rows[0]["weighting"] == "div"
    assert numbers["trials"][0]["metrics"][METRIC] == numbers["trials"][0]["value"]
    assert set(numbers["trials"][0]["metrics"]) >= {"recall@5", "mrr@5"}
    # the recipe gives the figure of the study
    recipe = read_recipe(tuned.recipe)
    assert (recipe.model, recipe.seed) == ("rules", 3)
    assert recipe.parameters == numbers["best"]["parameters"]
    from nextclick import evaluate

    artifact = train(store, "rules", config=recipe.parameters, train_on="inner")
    evaluation = evaluate(artifact, store, part="valid", ks=[5], n_bootstrap=0)
    assert evaluation.metrics[METRIC].value == numbers["best"]["value"]


def test_a_study_of_a_neural_model_and_its_recipe(store, tmp_path):
    fixed = {"threads": "1", "batch_size": "64", "epochs": "3"}
    options = TuneOptions(metric=METRIC, trials=3, seed=5, fixed=fixed)
    tuned = tune(store, "tiny", tmp_path / "study", options)
    best = tuned.numbers["best"]
    assert tuned.numbers["trials"][0]["parameters"] == {"learning_rate": 0.01, "width": 16}
    assert len(tuned.numbers["trials"][0]["history"]) == 3
    assert best["value"] >= tuned.numbers["preset_value"]
    recipe = read_recipe(tuned.recipe)
    assert recipe.parameters["batch_size"] == 64
    trained = train(
        store, recipe.model, config=recipe.parameters, seed=recipe.seed,
        neural=NeuralOptions(preset=recipe.preset),
    ).trained  # fmt: skip
    assert trained["validation"] == best["value"]
    assert trained["training"]["metric"] == METRIC


def test_a_recipe_with_its_validation_metrics(store, tmp_path):
    file = tmp_path / "recipes/shop/rules.toml"
    options = TuneOptions(metric=METRIC, trials=2, seed=3)
    numbers = tune(store, "rules", tmp_path / "study", options, recipe=file).numbers
    text = file.read_text()
    best = numbers["trials"][numbers["best"]["trial"]]
    assert f"rules on {store.path.resolve().name}: the best of 2 trials by {METRIC}" in text
    assert f"mrr@5 {best['metrics']['mrr@5']:.4f}" in text
    assert f"fingerprint {store.fingerprint}" in text
    assert text == (tmp_path / "study/best.toml").read_text()
    assert read_recipe(file).parameters == numbers["best"]["parameters"]
    # the same command writes it again, and no other file is replaced
    tune(store, "rules", tmp_path / "study", options, recipe=file)
    with pytest.raises(OutputError, match="exists and is no recipe of markov"):
        tune(store, "markov", tmp_path / "other", options, recipe=file)
    (tmp_path / "notes.toml").write_text("a note")
    with pytest.raises(OutputError, match="exists and is no recipe of rules"):
        tune(store, "rules", tmp_path / "study", options, recipe=tmp_path / "notes.toml")


def test_the_test_part_is_not_looked_at(store, tmp_path):
    """A store without a test, or with another one, gives the same study."""
    options = TuneOptions(metric=METRIC, trials=2, fixed=QUICK | {"learning_rate": 0.02})
    whole = tune(store, "tiny", tmp_path / "whole", options)
    shutil.copytree(store.path, tmp_path / "store")
    for file in (tmp_path / "store/test").iterdir():
        file.write_bytes(b"poison")
    poisoned = tune(tmp_path / "store", "tiny", tmp_path / "poisoned", options)
    shutil.rmtree(tmp_path / "store/test")
    missing = tune(tmp_path / "store", "tiny", tmp_path / "missing", options)
    assert (
        trials_without_times(whole)
        == trials_without_times(poisoned)
        == trials_without_times(missing)
    )


def test_a_bad_trial_is_pruned(store, tmp_path, monkeypatch):
    rates = {"learning_rate": Choice(0.01, 1e-7)}  # 0.01 is the preset's
    monkeypatch.setattr(Tiny, "search_space", rates)
    fixed = {n: v for n, v in QUICK.items() if n != "learning_rate"} | {"epochs": 6}
    options = TuneOptions(metric=METRIC, trials=8, fixed=fixed)
    tuned = tune(store, "tiny", tmp_path / "study", options)
    bad = [t for t in tuned.numbers["trials"] if t["parameters"]["learning_rate"] == 1e-7]
    assert {t["state"] for t in bad} == {"pruned"}
    assert {len(t["history"]) for t in bad} == {2}
    assert tuned.numbers["best"]["parameters"]["learning_rate"] == 0.01


def test_trials_are_compared_at_the_same_share_of_their_epochs(tmp_path):
    def train_on_paper(trial):
        epochs, values = schedules[trial.suggest_int("width", 1, 100)]
        for n, value in enumerate(values, 1):
            report_validation(trial, value, n / epochs)
        return max(values)

    schedules = {
        1: (4, [0.3, 0.5, 0.55, 0.6]),
        # behind it after as many epochs, and ahead of it when it has ended
        2: (12, [0.1, 0.2, 0.35, 0.4, 0.5, 0.55, 0.6, 0.62, 0.64, 0.65, 0.66, 0.66]),
        3: (12, [0.1, 0.2, 0.25, 0.9]),  # pruned at a quarter
        4: (8, [0.3, 0.4, 0.5, 0.5, 0.9]),  # pruned at a half
        5: (2, [0.45, 0.9]),
    }
    with open_study(tmp_path / "study.sqlite", prune=True) as study:
        for width in schedules:
            study.enqueue_trial({"width": width})
        study.optimize(train_on_paper, n_trials=len(schedules))
        trials = trial_rows(study, {"width": IntRange(1, 100)})
    states = ["complete", "complete", "pruned", "pruned", "pruned"]
    assert [trial["state"] for trial in trials] == states
    assert [len(trial["history"]) for trial in trials] == [4, 12, 3, 4, 1]


class KilledError(BaseException):
    """Simulates a kill: the study does not handle it."""


@pytest.mark.parametrize(("model", "fixed"), [("tiny", {"epochs": 3, "threads": 1}), ("rules", {})])
def test_a_killed_study_resumes_with_the_same_trials(store, tmp_path, model, fixed):
    options = TuneOptions(metric=METRIC, trials=5, seed=1, fixed=fixed)
    whole = tune(store, model, tmp_path / "whole", options)

    def killer(number):
        def progress(stage, done, total):
            if stage.startswith(f"tune · {number} trials done"):
                raise KilledError

        return progress

    for number in (1, 3):
        with pytest.raises(KilledError):
            tune(store, model, tmp_path / "killed", options, progress=killer(number))
        assert read_recipe(tmp_path / "killed/best.toml").model == model
    assert trials_without_times(
        tune(store, model, tmp_path / "killed", options)
    ) == trials_without_times(whole)
    # a finished study runs no more trials
    assert trials_without_times(
        tune(store, model, tmp_path / "killed", options)
    ) == trials_without_times(whole)


def test_more_trials_continue_the_study(store, tmp_path):
    first = tune(store, "rules", tmp_path / "study", TuneOptions(metric=METRIC, trials=2))
    more = tune(store, "rules", tmp_path / "study", TuneOptions(metric=METRIC, trials=4))
    assert trials_without_times(more)[:2] == trials_without_times(first)
    assert len(trials_without_times(more)) == 4


def test_a_grid_is_tried_completely(store, tmp_path):
    grid = {"steps": ["1", "2"], "weighting": ["same", "div"]}
    tuned = tune(store, "rules", tmp_path / "study", TuneOptions(metric=METRIC, grid=grid))
    tried = [(t["parameters"]["steps"], t["parameters"]["weighting"])
             for t in tuned.numbers["trials"]]  # fmt: skip
    assert tried == [(10, "div"), (1, "same"), (1, "div"), (2, "same"), (2, "div")]


def test_a_space_that_is_soon_tried_ends_by_itself(store, tmp_path, monkeypatch):
    monkeypatch.setattr("nextclick.experiments.hyperparameter_search._MAX_REPEATS", 4)
    monkeypatch.setattr(
        "nextclick.models.classical.markov.Markov.search_space", {"neighbors": Choice(1, 100)}
    )
    tuned = tune(store, "markov", tmp_path / "study", TuneOptions(metric=METRIC, budget=600))
    points = [t["parameters"]["neighbors"] for t in tuned.numbers["trials"]]
    assert set(points) == {1, 100}
    assert len(points) < 20
    by_point = {p: {t["value"] for t in tuned.numbers["trials"]
                    if t["parameters"]["neighbors"] == p} for p in set(points)}  # fmt: skip
    assert {len(values) for values in by_point.values()} == {1}


def test_a_failed_trial_is_noted_and_passed_over(store, tmp_path, monkeypatch):
    monkeypatch.setattr(Tiny, "search_space", {"learning_rate": Choice(0.05, 1e30)})
    fixed = {n: v for n, v in QUICK.items() if n != "learning_rate"} | {"optimizer": "sgd"}
    options = TuneOptions(metric=METRIC, trials=6, fixed=fixed)
    tuned = tune(store, "tiny", tmp_path / "study", options)
    failed = [t for t in tuned.numbers["trials"] if t["state"] == "failed"]
    assert failed
    assert all("not finite" in t["error"] or "the loss is" in t["error"] for t in failed)
    assert tuned.numbers["best"]["value"] > 0


def test_nothing_but_failures(store, tmp_path, monkeypatch):
    monkeypatch.setattr("nextclick.experiments.training_setup.free_memory", lambda device: 1 << 10)
    with pytest.raises(
        ConfigError, match=r"none of 2 trials succeeded; the first error: ConfigError: "
    ):
        tune(store, "tiny", tmp_path / "study", TuneOptions(metric=METRIC, trials=2))


def test_the_budget_counts_the_drawing_of_points(store, tmp_path, monkeypatch):
    """Each drawing takes 0.5 s of a clock that nothing else moves."""
    import optuna

    seconds = 0.0

    def slowly(*args):
        nonlocal seconds
        seconds += 0.5
        return sample(*args)

    sample = optuna.samplers.TPESampler.sample_independent
    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_independent", slowly)
    monkeypatch.setattr(hyperparameter_search.time, "perf_counter", lambda: seconds)
    tuned = tune(store, "rules", tmp_path / "study", TuneOptions(metric=METRIC, budget=2.5))
    trials = tuned.numbers["trials"]  # the preset, and points of four dimensions
    assert len(trials) == 3
    assert [trial["seconds"] for trial in trials[1:]] == [2.0, 2.0]


def test_the_budget_cuts_a_trial_but_never_the_first(store, tmp_path):
    options = TuneOptions(metric=METRIC, budget=0.001, fixed={"epochs": 5, "threads": 1})
    tuned = tune(store, "tiny", tmp_path / "study", options)
    (only,) = tuned.numbers["trials"]
    assert only["state"] == "complete"
    assert 1 <= len(only["history"]) <= 5
    assert only["value"] == max(only["history"])


def test_ctrl_c_keeps_the_study(store, tmp_path, monkeypatch):
    options = TuneOptions(metric=METRIC, trials=4)

    def stop(stage, done, total):
        if stage.startswith("tune · 2 trials done"):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="stopped after 2 trials; the study is kept in"):
        tune(store, "rules", tmp_path / "study", options, progress=stop)
    assert len(json.loads((tmp_path / "study/study.json").read_text())["trials"]) == 2
    whole = tune(store, "rules", tmp_path / "whole", options)
    assert trials_without_times(
        tune(store, "rules", tmp_path / "study", options)
    ) == trials_without_times(whole)

    def at_once(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="stopped before the first trial finished"):
        tune(store, "rules", tmp_path / "new", options, progress=at_once)


def test_a_sample_of_the_validation(store, tmp_path):
    options = TuneOptions(metric=METRIC, trials=1, sessions=5)
    few = tune(store, "rules", tmp_path / "few", options).numbers["preset_value"]
    again = tune(store, "rules", tmp_path / "again", options).numbers["preset_value"]
    every = TuneOptions(metric=METRIC, trials=1, sessions=10**6)
    all_of_them = tune(store, "rules", tmp_path / "all", every).numbers["preset_value"]
    whole = TuneOptions(metric=METRIC, trials=1)
    assert few == again
    assert all_of_them == tune(store, "rules", tmp_path / "whole", whole).numbers["preset_value"]


def test_another_study_in_the_folder(store, tmp_path, monkeypatch):
    folder, options = tmp_path / "study", TuneOptions(metric=METRIC, trials=1)
    tune(store, "markov", folder, options)
    with pytest.raises(ConfigError, match=r"with other settings: model is 'markov' there and "):
        tune(store, "rules", folder, options)
    other = Store(store.path, store.manifest | {"fingerprint": "feed"})
    with pytest.raises(ConfigError, match=r"data_fingerprint is '\w+' there and 'feed' here"):
        tune(other, "markov", folder, options)
    tune(store, "rules", folder, options, overwrite=True)
    with (
        RunCache.locked(tmp_path / "held", "x", {}),
        pytest.raises(OutputError, match="is in use by another process"),
    ):
        tune(store, "rules", tmp_path / "held", options)
    with pytest.raises(
        OutputError, match=r"holds files of something other than a nextclick\.study"
    ):
        tune(store, "rules", store.path, options)
    (folder / "study.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(ConfigError, match="cannot open the study"):
        tune(store, "rules", folder, options)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("rules", {}, "the search has no limit"),
        ("rules", {"trials": 0}, "trials must be greater than 0, got 0"),
        ("rules", {"budget": 0.0}, "budget must be greater than 0, got 0"),
        ("rules", {"trials": 1, "metric": "recall"}, "metric must be recall@K, mrr@K or ndcg@K"),
        ("rules", {"trials": 1, "sessions": 0}, "sessions must be 1 or more, got 0"),
        (
            "rules",
            {"trials": 1, "preset": "wide"},
            "rules has no preset 'wide': counting models have none",
        ),
        ("tiny", {"trials": 1, "preset": "wid"}, "tiny has no preset 'wid': did you mean wide"),
        ("rules", {"trials": 1, "fixed": {"step": "1"}}, "rules has no parameter 'step'"),
        ("rules", {"trials": 1, "fixed": {"steps": "0"}}, "rules: steps must be integer ≥ 1"),
        ("tiny", {"trials": 1, "fixed": {"metric": "mrr@5"}}, "use --metric"),
        ("pop", {"trials": 1}, "pop has nothing to tune: no parameters"),
        (
            "markov",
            {"trials": 1, "fixed": {"neighbors": "5", "repeats": "keep"}},
            "--set fixes its whole search space",
        ),
        ("rules", {"grid": {"step": ["1"]}}, "rules has no parameter 'step'"),
        ("rules", {"grid": {"steps": ["1", "0"]}}, "rules: steps must be integer ≥ 1"),
        ("rules", {"grid": {"steps": ["1", "01"]}}, "steps must have each value once"),
        ("rules", {"grid": {"steps": []}}, "steps must have at least one value to try"),
        (
            "rules",
            {"grid": {"steps": ["1", "2"]}, "fixed": {"steps": "1"}},
            "steps has both a fixed value and a list of values; omit one",
        ),
    ],
)
def test_bad_input(store, tmp_path, model, options, message):
    with pytest.raises(ConfigError) as error:
        tune(store, model, tmp_path / "study", TuneOptions(**{"metric": METRIC} | options))
    assert message in str(error.value)
    assert not (tmp_path / "study").exists()


def test_a_package_that_is_missing(store, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"tune requires Optuna, which is not installed"):
        tune(store, "rules", tmp_path / "study", TuneOptions(trials=1))
