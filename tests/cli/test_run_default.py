"""`nextclick run` without --models: three models, one selected on the validation."""

import json

import pytest

from nextclick.artifact import Artifact
from nextclick.cli.run_command import _missing_training
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.experiments import default_comparison
from nextclick.experiments.default_comparison import _limit, _speed
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
    compare = default_comparison.compare_logged

    def interrupted(store, models, *arguments, **options):
        if len(models) == 3:
            raise KeyboardInterrupt
        return compare(store, models, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(default_comparison, "compare_logged", interrupted)
        assert run("run", log, "-o", shop)[0] != 0
    assert "already exists" in run("run", log, "-o", shop)[2]
    monkeypatch.setattr("nextclick.experiments.blend_training.train_blend", None)
    code, out, _ = run("run", log, "-o", shop, "--resume")
    assert code == 0
    assert "the validation selects " in out


def test_a_budget_limits_the_steps_and_is_measured_once(log, tmp_path, run, monkeypatch):
    monkeypatch.setattr(default_comparison, "_PROBE_MINUTES", 0.001)
    shop = tmp_path / "shop"
    code, out, _ = run("run", log, "-o", shop, "--budget", 0.01)
    assert code == 0
    store, file = Store.open(shop / "store"), shop / "budget.json"
    speed = json.loads(file.read_text())
    steps = speed["steps"]
    members = Artifact.load(shop / "models" / "blend" / "artifact").model.config.members
    labels = [member.label for member in members]
    assert labels == ["session-knn", f"cosine-gru@max_steps={steps}", "markov"]
    assert _speed(store, file, 0.6, silent) == speed
    with pytest.raises(ConfigError, match="budget must be above 0 seconds, got 0"):
        _speed(store, file, 0.0, silent)
    missing = f"after {steps:,} of {speed['all_steps']:,} steps"
    assert (missing in out) == (steps < speed["all_steps"])


@pytest.mark.parametrize(
    ("values", "gain"),
    [
        ([0.1, 0.2, 0.25, 0.3, 0.32, 0.31], 0.02),
        ([0.3, 0.4, 0.2], 0.0),  # the last third has not raised the best
        ([0.1, 0.2], None),
    ],
)
def test_what_a_budget_left_out(values, gain):
    member = {
        "training": {"metric": "mrr@20"},
        "inner_history": [{"mrr@20": value} for value in values],
    }
    speed = {"steps": 50, "all_steps": 200, "all_seconds": 600.0}
    limit = _limit(member, speed)
    assert (limit.steps, limit.all_steps, limit.all_seconds) == (50, 200, 600.0)
    assert limit.last_gain == (None if gain is None else pytest.approx(gain))
    text = _missing_training(limit)
    assert "after 50 of 200 steps; all of them take about 10 minutes" in text
    assert ("raised MRR@20 on" in text) == (gain is not None)
    assert _limit(member, None) is None
    assert _limit(member, {**speed, "all_steps": 50}) is None


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
