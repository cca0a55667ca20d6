"""Experiment trackers: what is logged, by stand-ins of the packages, and by MLflow and W&B."""

import json
import sys
import types
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nextclick import compare, load, train
from nextclick.artifact import Artifact
from nextclick.cli.main import app
from nextclick.errors import ArtifactError, ConfigError
from nextclick.experiments.cached_run import CachedRun
from nextclick.experiments.comparison_options import CompareOptions
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.tracking.tracked_run import tracked_run
from nextclick.experiments.tuning import tune
from nextclick.training.training_config import NeuralOptions
from small_shop import make_store

SESSIONS = [[10 * ((n + step) % 24 + 1) for step in range(4)] for n in range(96)]
quiet = pytest.mark.filterwarnings("ignore")  # those of MLflow and W&B


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("tracked") / "store", SESSIONS)


# Stand-ins ----------------------------------------------------------------------------------------


class Runs:
    """The runs of a stand-in: name, parameters, metrics, folders and how it ended."""

    def __init__(self):
        self.runs, self.open = [], []

    def start(self, name, **more):
        run = {"name": name, "parent": self.open[-1]["name"] if self.open else None, **more}
        self.runs.append(run | {"parameters": {}, "metrics": {}, "folders": {}, "end": None})
        self.open.append(self.runs[-1])

    def of(self, name):
        (run,) = (run for run in self.runs if run["name"] == name)
        return run


@pytest.fixture
def wandb(monkeypatch):
    """W&B as far as it is used."""
    runs = Runs()

    class Artifact:
        def __init__(self, name, type):  # noqa: A002 (the name that W&B has)
            self.name, self.type = name, type

        def add_dir(self, folder):
            self.files = sorted(p.name for p in Path(folder).rglob("*") if p.is_file())

    class Run:
        def __init__(self, record):
            self.record = record
            self.config = types.SimpleNamespace(update=record["parameters"].update)
            self.summary = types.SimpleNamespace(update=record["metrics"].update)

        def log(self, values, step):
            self.record["metrics"] |= {f"{name}@{step}": v for name, v in values.items()}

        def log_artifact(self, artifact):
            self.record["folders"][f"{artifact.type} {artifact.name}"] = artifact.files

        def finish(self, exit_code=0):
            self.record["end"] = exit_code
            runs.open.remove(self.record)

    def init(project, name, group, reinit):
        assert (project, reinit) == ("nextclick", "create_new")
        if name == "refused":
            raise module.errors.Error("no API key")
        runs.start(name, group=group)
        return Run(runs.runs[-1])

    errors = types.SimpleNamespace(Error=type("Error", (Exception,), {}))
    module = types.SimpleNamespace(init=init, Artifact=Artifact, errors=errors)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


def test_a_training_is_a_run(store, tmp_path, wandb):
    train(store, "markov", tmp_path / "model", neural=NeuralOptions(track=("wandb",)))
    (run,) = wandb.runs
    assert (run["name"], run["end"]) == ("markov", 0)
    assert run["parameters"]["model"] == "markov"
    assert run["parameters"]["data_fingerprint"] == store.fingerprint
    assert run["metrics"]["training_sessions"] > 0
    assert set(run["folders"]) == {"model markov-model", "files markov-card"}
    assert "weights.safetensors" in run["folders"]["model markov-model"]
    assert run["folders"]["files markov-card"] == ["card.json", "card.md"]


def test_a_model_in_memory_has_no_files(store, wandb):
    train(store, "pop", neural=NeuralOptions(track=("wandb",)))
    assert wandb.runs[0]["folders"] == {}


def test_a_neural_training_has_a_run_for_each_of_its_trainings(store, tmp_path, wandb):
    options = NeuralOptions(track=("wandb",))
    train(store, "gru4rec", tmp_path / "m", config={"epochs": 2}, neural=options)
    below = [run["name"] for run in wandb.runs if run["parent"] == "gru4rec"]
    assert below == ["gru4rec on train_inner", "gru4rec on train"]
    assert {run["group"] for run in wandb.runs} == {"gru4rec"}
    assert any(name.startswith("loss@") for name in wandb.runs[1]["metrics"])
    metrics = wandb.of("gru4rec")["metrics"]
    assert (
        0 < metrics["validation.recall@20"] == max(metrics["recall@20@1"], metrics["recall@20@2"])
    )


def test_a_training_that_fails_is_a_failed_run(store, wandb):
    with pytest.raises(ConfigError):
        train(store, "markov", config={"nighbors": 3}, neural=NeuralOptions(track=("wandb",)))
    assert [run["end"] for run in wandb.runs] == [1]
    assert wandb.open == []


def test_a_comparison_has_a_run_for_each_training(store, tmp_path, wandb):
    compare(store, ["pop", "markov"], tmp_path / "out", CompareOptions(track=("wandb",)))
    command, *below = wandb.runs
    assert command["name"] == "compare store"
    assert [run["name"] for run in below] == ["pop", "markov"]
    metrics = wandb.of("markov")["metrics"]
    assert metrics["recall@20.low"] <= metrics["recall@20"] <= metrics["recall@20.high"]
    assert "weights.safetensors" in wandb.of("pop")["folders"]["model compare-store-model"]
    assert command["folders"]["files compare-store-report"] == ["comparison.json", "report.html"]


def test_a_training_is_logged_before_the_next_one_starts(store, tmp_path, wandb, monkeypatch):
    complete, logged = CachedRun.complete, []

    def watched(self, *arguments):
        logged.append([run["name"] for run in wandb.runs if run["end"] == 0])
        return complete(self, *arguments)

    monkeypatch.setattr(CachedRun, "complete", watched)
    compare(store, ["pop", "markov"], tmp_path / "out", CompareOptions(track=("wandb",)))
    assert logged == [[], ["pop"]]


def test_a_study_has_a_run_for_each_trial(store, tmp_path, wandb):
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    options = TuneOptions(grid={"steps": [1, 2]}, track=("wandb",))
    tuned = tune(store, "rules", tmp_path / "study", options)
    command, *below = wandb.runs
    assert [run["name"] for run in below] == ["trial 0", "trial 1", "trial 2"]  # 0 is the preset
    assert [run["parameters"]["steps"] for run in below[1:]] == [1, 2]
    assert command["metrics"]["recall@20"] == tuned.numbers["best"]["value"]
    assert "best.toml" in command["folders"]["files tune-rules-study"]


def test_trackers_that_cannot_be_used_are_named(store, monkeypatch, wandb):
    with pytest.raises(ConfigError, match="there is no tracker 'mlfow': did you mean mlflow"):
        compare(store, ["pop"], options=CompareOptions(track=("mlfow",)))
    with pytest.raises(
        ConfigError, match="the run cannot be opened: no API key; run `wandb login`"
    ):
        tracked_run(("wandb",), "refused").__enter__()
    with pytest.raises(ConfigError, match="pop is not a neural model, and tensorboard logs the st"):
        train(store, "pop", neural=NeuralOptions(track=("tensorboard",)))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="--track mlflow needs the package mlflow-skinny, which"):
        train(store, "pop", neural=NeuralOptions(track=("mlflow",)))
    with pytest.raises(ConfigError, match="models:/shop/1 needs the package mlflow-skinny, which"):
        load("models:/shop/1")


# MLflow -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """MLflow with a database and a registry in a folder."""
    module = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    for package in ("pandas", "sqlalchemy", "alembic"):
        pytest.importorskip(package, reason="the extra mlflow is not installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        module.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield module


def runs_of(mlflow, parent=None):
    return {
        run.info.run_name: run
        for run in mlflow.search_runs(output_format="list")
        if run.data.tags.get("mlflow.parentRunId") == parent
    }


@quiet
def test_runs_of_mlflow(mlflow, store, tmp_path):
    train(store, "markov", tmp_path / "model", neural=NeuralOptions(track=("mlflow",)))
    run = runs_of(mlflow)["markov"]
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "markov"
    client = mlflow.MlflowClient()
    files = {file.path for file in client.list_artifacts(run.info.run_id, "card")}
    assert files == {"card/card.json", "card/card.md"}
    compare(store, ["pop", "markov"], tmp_path / "out", CompareOptions(track=("mlflow",)))
    command = runs_of(mlflow)["compare store"]
    below = runs_of(mlflow, command.info.run_id)
    assert set(below) == {"pop", "markov"}
    metrics = below["pop"].data.metrics
    assert metrics["recall_at_20.low"] <= metrics["recall_at_20"] <= metrics["recall_at_20.high"]


@quiet
def test_a_model_of_mlflow_predicts_what_the_artifact_recommends(mlflow, store, tmp_path):
    import pandas as pd

    from nextclick.experiments.tracking.mlflow_model import log_model

    artifact = train(store, "session-knn", tmp_path / "model")
    info = log_model(tmp_path / "model", "model", registered_name="shop")
    loaded = mlflow.pyfunc.load_model("models:/shop/1")
    sessions = [[10, 20], [40], [30, 30, 50]]
    frame = pd.DataFrame({"items": sessions})
    shown = loaded.predict(frame, params={"k": 3})
    answers = load(tmp_path / "model").recommend(sessions, 3)
    assert list(map(list, shown["items"])) == [answer.items for answer in answers]
    assert shown["session"].tolist() == ["0", "1", "2"]
    named = frame.assign(session=["b", "a", "c"], times=[[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]])
    unseen = loaded.predict(named, params={"k": 2, "exclude_seen": True})
    assert unseen["session"].tolist() == ["b", "a", "c"]
    for session, items in zip(sessions, unseen["items"], strict=True):
        assert not set(session) & set(items)
    example = loaded.input_example
    assert len(loaded.predict(example)) == len(example) == 1
    assert {spec.name for spec in loaded.metadata.signature.inputs} == {
        "items", "session", "times", "user",
    }  # fmt: skip
    folder = Path(mlflow.artifacts.download_artifacts(info.model_uri))
    assert not [file for file in folder.rglob("*") if file.suffix in (".pkl", ".pickle")]
    again = Artifact.load("models:/shop/1")
    assert again.trained == artifact.trained
    words = ["recommend", "models:/shop/1", "-s", "10,20", "-k", "3", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["items"] == answers[0].items


@quiet
def test_other_models_of_mlflow_are_named(mlflow, tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot be read from MLflow: .*; check the name and"):
        load("models:/none/1")
    (tmp_path / "loader.py").write_text("def _load_pyfunc(path):\n    return None\n")
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="other", loader_module="loader", code_paths=[str(tmp_path / "loader.py")],
            pip_requirements=[],
        )  # fmt: skip
    with pytest.raises(
        ArtifactError, match="is a model of python_function, not of nextclick; name one"
    ):
        load(info.model_uri)


@quiet
def test_runs_of_wandb_offline(store, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(store, "pop", tmp_path / "model", neural=NeuralOptions(track=("wandb",)))
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
