"""`nextclick run` without --models: three models, one selected on the validation."""

import json

import pytest

from nextclick.artifact import Artifact
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.experiments import default_comparison
from nextclick.experiments.default_comparison import _steps
from nextclick.models.neural.cosine_gru import CosineGRU

QUICK = {
    "loss": "sampled", "negatives": 16, "sparse": True, "batch_size": 256, "epochs": 1,
    "width": 8, "neighbors": 2, "threads": 1,
}  # fmt: skip
LABELS = {"session-knn", "cosine-gru", "blend"}


@pytest.fixture
def log(tmp_path, run, monkeypatch):
    monkeypatch.setattr(CosineGRU, "presets", {"default": QUICK})
    path = tmp_path / "log.csv"
    assert run("simulate", "-o", path, "--events", 4000, "--items", 60)[0] == 0
    return path


def test_the_validation_selects_one_of_three_models(log, tmp_path, run):
    shop = tmp_path / "shop"
    code, out, _ = run("run", log, "-o", shop, "-k", "5,20")
    assert code == 0
    selected = out.split("the validation selects ")[1].split(":")[0]
    assert selected in LABELS
    folder = out.split("nextclick serve ")[1].split()[0]
    artifact = Artifact.load(folder)
    assert artifact.model.name == selected
    assert artifact.trained["part"] == "train"
    blend = Artifact.load(shop / "models" / "blend" / "artifact").trained
    values = {"blend": blend["blend"]["validation"]["recall@20"]}
    values |= {m["model"]: m["validated"]["recall@20"] for m in blend["members"]}
    assert values[selected] == max(values.values())
    assert f"Recall@20 {values[selected]:.2%}" in out
    rows = json.loads((shop / "models" / "comparison.json").read_text())["leaderboard"]
    assert {row["label"] for row in rows} == LABELS


def test_an_interrupted_run_is_resumed_without_another_training(log, tmp_path, run, monkeypatch):
    shop = tmp_path / "shop"
    compare = default_comparison.compare

    def interrupted(store, models, *arguments, **options):
        if len(models) == 3:
            raise KeyboardInterrupt
        return compare(store, models, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(default_comparison, "compare", interrupted)
        assert run("run", log, "-o", shop)[0] != 0
    assert "already exists" in run("run", log, "-o", shop)[2]
    monkeypatch.setattr("nextclick.experiments.blend_training.train_blend", None)
    code, out, _ = run("run", log, "-o", shop, "--resume")
    assert code == 0
    assert "the validation selects " in out


def test_a_budget_limits_the_steps_and_is_measured_once(log, tmp_path, run, monkeypatch):
    monkeypatch.setattr(default_comparison, "_PROBE_MINUTES", 0.001)
    shop = tmp_path / "shop"
    assert run("run", log, "-o", shop, "--budget", 0.01)[0] == 0
    store, file = Store.open(shop / "store"), shop / "budget.json"
    steps = json.loads(file.read_text())["steps"]
    members = Artifact.load(shop / "models" / "blend" / "artifact").model.config.members
    labels = [member.label for member in members]
    assert labels == ["session-knn", f"cosine-gru@max_steps={steps}", "markov"]
    assert _steps(store, file, 0.01, silent) == steps
    with pytest.raises(ConfigError, match="budget must be above 0 minutes, got 0"):
        _steps(store, file, 0.0, silent)


def test_a_budget_needs_the_default_models(log, tmp_path, run):
    code, _, error = run("run", log, "-o", tmp_path / "shop", "-m", "pop", "--budget", 3)
    assert code == 2
    assert "--budget limits the default models, got it with --models pop" in error


def test_without_pytorch_counting_models_are_compared(log, tmp_path, run, monkeypatch):
    monkeypatch.setattr("nextclick.cli.run_command.find_spec", lambda name: None)
    monkeypatch.setattr("nextclick.cli.run_command.COUNTING_MODELS", ("pop", "markov"))
    code, out, error = run("run", log, "-o", tmp_path / "shop", "-k", 5)
    assert code == 0
    assert "PyTorch is not installed" in error
    assert "markov" in out
