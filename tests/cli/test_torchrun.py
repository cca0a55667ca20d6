"""`train` and `evaluate` in two processes, as torchrun starts them; what others say."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import nextclick
from nextclick import PrepareOptions, prepare
from nextclick.cli.main import FOR_TORCHRUN, app
from nextclick.data.options import StoreOptions
from nextclick.errors import ArtifactError
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training import run_checkpoint
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle, fresh
from started_processes import launch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    simulate(SimulationConfig(events=3_000, items=80, users=200, days=5), folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder


def test_one_process_writes_and_prints(folder):
    model, store = folder / "model", folder / "store"
    words = ["-m", "nextclick", "train", store, "-m", "gru4rec", "-o", model]
    words += ["--set", "epochs=1", "--json"]
    (code, output, errors), (other_code, other_output, other_errors) = launch(words)
    assert (code, other_code) == (0, 0), errors + other_errors
    assert json.loads(output)["model"] == "gru4rec"
    assert (other_output, other_errors) == ("", "")
    assert (model / "weights.safetensors").exists()
    assert (folder / "model.training" / "metrics.jsonl").exists()

    words = ["-m", "nextclick", "evaluate", model, store, "-o", folder / "result.json"]
    (code, output, errors), (other_code, other_output, _) = launch(words)
    assert (code, other_code) == (0, 0), errors
    assert "gru4rec" in output
    assert other_output == ""
    assert json.loads((folder / "result.json").read_text())["model"] == "gru4rec"


def test_an_error_is_printed_once(folder):
    words = ["-m", "nextclick", "train", folder / "store", "-m", "pop", "-o", folder / "pop"]
    (code, _, errors), (other_code, _, other_errors) = launch(words)
    assert (code, other_code) == (2, 2)
    assert "error: pop is trained by one process, got 2" in errors
    assert other_errors == ""


@pytest.mark.slow
def test_torchrun_lets_process_0_print_its_error(folder):
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += ["--monitor-interval", "0.01", "-m", "nextclick", "train", folder / "store"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "-m", "pop", "-o", str(folder / "pop")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: pop is trained by one process, got 2" in done.stderr


def test_processes_with_other_seeds(folder):
    words = ["-m", "nextclick", "train", folder / "store", "-m", "narm", "-o", folder / "other"]
    done = launch([], commands=[[*words, "--seed", seed] for seed in (1, 2)])
    assert [code for code, _, _ in done] == [2, 2]
    assert "error: the seed is 1 in process 0 on " in done[0][2]
    assert done[1][2] == ""


def test_processes_that_disagree(folder):
    other = folder / "other-store"
    simulate(SimulationConfig(events=2_000, items=80, users=200, days=5), folder / "other.parquet")
    prepare(folder / "other.parquet", other)
    words = ["train", folder / "store", "-m", "narm", "-o", folder / "disagreeing"]
    words += ["--set", "sparse=true", "--set", "full_softmax_items=0"]
    plain = ["-m", "nextclick", *words]
    changed = (
        "import sys; from nextclick.experiments import neural_training as module; "
        "module.code_digest = lambda: 'changed'; from nextclick.cli.main import main; main()"
    )
    for second, expected in (
        (["-m", "nextclick", words[0], other, *words[2:]], "the fingerprint of the store is "),
        ([*plain, "--shard-items"], "--shard-items is False in process 0 on "),
        (["-c", changed, *words], "the digest of its code is "),
    ):
        done = launch([], commands=[plain, second])
        assert [code for code, _, _ in done] == [2, 2]
        assert f"error: {expected}" in done[0][2]
        assert "start all processes with the same version, store and options" in done[0][2]
        assert done[1][2] == ""


def test_evaluations_that_disagree(folder):
    model = folder / "sasrec"
    nextclick.train(folder / "store", "sasrec", model, config={"epochs": 1})
    words = ["-m", "nextclick", "evaluate", model, folder / "store"]
    done = launch([], commands=[[*words, "--shard-items"], words])
    assert [code for code, _, _ in done] == [2, 2]
    assert "error: --shard-items is True in process 0 on " in done[0][2]
    assert done[1][2] == ""
    (code, output, errors), (other, *_) = launch([*words, "--shard-items"])
    assert (code, other) == (0, 0), errors
    assert "sasrec" in output


def test_shards_are_evaluated_as_a_store_without(folder):
    sharded = folder / "sharded"
    options = PrepareOptions(store=StoreOptions(shard_clicks=200))
    store = prepare(folder / "log.parquet", sharded, options=options).store
    assert len(store.manifest["shards"]["test"]) > 1
    artifact = nextclick.train(folder / "store", "gru4rec", folder / "gru", config={"epochs": 1})
    expected = nextclick.evaluate(artifact, folder / "store", ks=[5], n_bootstrap=0).metrics
    result = folder / "sharded.json"
    words = ["-m", "nextclick", "evaluate", folder / "gru", sharded, "-k", "5", "-o", result]
    done = launch([*words, "--bootstrap", "0"])
    assert [code for code, _, _ in done] == [0, 0], done
    found = json.loads(result.read_text())["evaluation"]["metrics"]
    assert {name: metric["value"] for name, metric in found.items()} == pytest.approx(
        {name: metric.value for name, metric in expected.items()}, abs=1e-12
    )


@pytest.mark.parametrize("name", ["compare", "serve", "prepare"])
def test_other_commands_run_in_one_process(name, monkeypatch):
    assert name not in FOR_TORCHRUN
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(app, [name, "store"])
    assert done.exit_code == 2
    assert f"{name} runs in one process; start it without torchrun" in done.output


def test_a_checkpoint_of_another_number_of_processes(tmp_path, monkeypatch):
    config = TrainingConfig(batch_size=32, epochs=1, keep="last")
    trainer = Trainer(fresh(40), config, device="cpu")
    trainer.run(circle(30), checkpoints=Checkpoints(tmp_path))
    path = tmp_path / "checkpoint" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["identity"]["training"]["processes"] == 1
    identity = run_checkpoint._identity

    def of_two(loop, checkpoints):
        found = identity(loop, checkpoints)
        found.training["processes"] = 2
        return found

    monkeypatch.setattr(run_checkpoint, "_identity", of_two)
    with pytest.raises(ArtifactError, match="processes is 1 in the checkpoint and 2 in this run"):
        Trainer(fresh(40), config, device="cpu").run(
            circle(30), checkpoints=Checkpoints(tmp_path, resume=True)
        )
