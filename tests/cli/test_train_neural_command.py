"""`nextclick train` with neural models, and `nextclick models`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from nextclick import prepare, train
from nextclick.artifact import Artifact
from nextclick.cli.main import app
from nextclick.training import device
from reference.tiny_model import weights
from small_shop import make_user_store

DAY = 86_400_000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    rows = []
    for session in range(300):
        start, begin = rng.integers(30), int(rng.integers(10)) * DAY + session * 1000
        rows += [(session, (start + k) % 30, begin + 1000 * k) for k in range(rng.integers(2, 7))]
    log = pl.DataFrame(rows, schema=["session_id", "item_id", "timestamp"], orient="row")
    log.write_parquet(folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder / "store"


@pytest.fixture
def run(monkeypatch, tiny_model):

    def ran(*arguments, code=0):
        arguments = [str(word) for word in arguments]
        monkeypatch.setattr("sys.argv", ["nextclick", *arguments])
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.stderr
        return result

    return ran


QUICK = ("--set", "threads=1", "--set", "metric=mrr@5")


def test_a_planted_rule_is_learned(run, store, tmp_path):
    folder = tmp_path / "model"
    result = run("train", store, "-m", "tiny", "-o", folder, *QUICK, "--set", "epochs=15",
               "--set", "learning_rate=0.05", "--device", "cpu", "--json")  # fmt: skip
    printed = json.loads(result.stdout)
    assert printed["schema"] == "nextclick.train/1"
    assert printed["training"]["learning_rate"] == 0.05
    assert printed["history"][0]["epoch"] == 1
    assert "model trained on" not in result.stdout
    assert "on the validation split; " in result.stderr
    assert "samples/s on cpu with 1 thread\n" in result.stderr
    evaluated = run("evaluate", folder, store, "-k", "1", "--json")
    result = json.loads(evaluated.stdout)["result"]
    assert result["evaluation"]["metrics"]["recall@1"]["value"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "wid"), "tiny has no preset 'wid': did you mean wide?"),
        (("--set", "epoch=3"), "tiny has no parameter 'epoch': did you mean epochs"),
        (("--set", "epochs=0"), "tiny: epochs must be integer ≥ 1, got '0'"),
        (("--set", "width=0"), "tiny: width must be integer ≥ 1, got '0'"),
        (("--device", "gpu"), "device must be auto, cpu or cuda, got 'gpu'"),
        (("--resume",), "has no checkpoint to resume from; start without --resume"),
        (("--track", "mlfow"), "there is no tracker 'mlfow': did you mean mlflow"),
        (("--set", "threads=4096"), "threads must be in 0.."),
        (("--set", "loss=bpr"), "loss bpr needs negatives > 0 or in_batch=true"),
    ],
)
def test_bad_input(run, store, tmp_path, arguments, message):
    result = run("train", store, "-m", "tiny", "-o", tmp_path / "model", *arguments, code=2)
    assert message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "model").exists()


def test_options_override_a_recipe(run, store, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'model = "tiny"\nseed = 4\n[parameters]\nepochs = 3\nthreads = 1\nmetric = "mrr@5"\n'
    )
    arguments = ("train", store, "--recipe", recipe, "-o", tmp_path / "model", "--set", "epochs=2")
    printed = json.loads(run(*arguments, "--json").stdout)
    assert (printed["model"], printed["seed"], printed["epochs"]) == ("tiny", 4, 2)
    assert printed["training"]["metric"] == "mrr@5"
    other = (*arguments[:-2], "--overwrite")
    assert "is a recipe of tiny, got --model pop" in run(*other, "-m", "pop", code=2).stderr
    nothing = run("train", store, "-o", tmp_path / "none", code=2)
    assert "name one with --model or --recipe" in nothing.stderr


def test_bf16_on_a_device_without_it(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "has_bf16", lambda device: False)
    arguments = ("train", store, "-m", "tiny", "-o", tmp_path / "model", "--set", "precision=bf16")
    assert "precision bf16: this cpu has no bf16 arithmetic" in run(*arguments, code=2).stderr


def test_models_lists_presets_and_parameters(run):
    result = run("models", "--json")
    printed = json.loads(result.stdout)
    assert printed["models"]["tiny"]["presets"]["wide"] == {"width": 24, "epochs": 2}
    assert printed["models"]["pop"]["presets"] == {}
    assert "patience" in {p["name"] for p in printed["training"]}
    assert "--preset wide: width=24, epochs=2" in result.stderr
    assert "tiny, also set with --set" in result.stderr


STOPPED = """
import os, signal, sys
from nextclick.training import run_log as report
sys.path.insert(0, sys.argv.pop(1))
sys.path.append(sys.argv.pop(1))
report.PROGRESS_SECONDS = 0.0
report_step = report.RunReporter.step
def step(self, position, monitor, label):
    report_step(self, position, monitor, label)
    if position.total_steps == 20:
        os.kill(os.getpid(), signal.SIGINT)
report.RunReporter.step = step
from nextclick.cli.main import main
main()
"""


def test_ctrl_c_and_resume(run, store, tmp_path, tiny_model):
    """A process, a signal, the message, and the weights after --resume."""
    output = tmp_path / "model"
    arguments = ["train", store, "-m", "tiny", "-o", output, *QUICK]
    folders = [Path(__file__).parents[1], tiny_model]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, *map(str, [*folders, *arguments])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == 2, stopped.stderr
    assert "interrupted at epoch 1, step 20" in stopped.stderr.replace("\n", " ")
    assert "rerun the same command with --resume to continue" in stopped.stderr.replace("\n", " ")
    assert not output.exists()
    again = run(*arguments, code=2)
    assert "use --resume to continue it, or --overwrite" in again.stderr.replace("\n", " ")
    run(*arguments, "--resume")
    whole = train(store, "tiny", config={"threads": 1, "metric": "mrr@5"})
    assert weights(Artifact.load(output).model) == weights(whole.model)
    files = {p.name for p in (tmp_path / "model.training").iterdir()}
    assert files == {"choose", "metrics.jsonl"}


def test_a_value_that_depends_on_the_log_is_printed(run, tmp_path):
    store = make_user_store(tmp_path / "store")
    widths = [f"{name}_width=4" for name in ("item", "gap", "user", "hidden")]
    settings = [part for value in (*widths, "epochs=1") for part in ("--set", value)]
    result = run("train", store.path, "-m", "asars", "-o", tmp_path / "model", "--json", *settings,
               "--set", "metric=recall@2")  # fmt: skip
    assert "chosen for this log: history=attention-repeat\n" in result.stderr
    assert json.loads(result.stdout)["chosen"] == {"history": "attention-repeat"}


def test_a_counting_model_needs_no_torch(store, tmp_path):
    program = (
        "import sys\n"
        "from nextclick.cli.main import app\n"
        f"app(['train', {str(store)!r}, '--model', 'pop', '-o', {str(tmp_path / 'pop')!r}],"
        " standalone_mode=False)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert Artifact.load(tmp_path / "pop").trained["part"] == "train"
