"""`kill -9` while a neural model is trained: resumed, it has the weights of a run left alone."""

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from installed import NEURAL
from nextclick import prepare, train
from nextclick.artifact import Artifact
from nextclick.errors import OutputError
from nextclick.experiments import model_training
from nextclick.experiments.checkpoint_paths import has_checkpoint
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training.training_config import NeuralOptions

KILLS = 10
QUICK = {"epochs": 1, "checkpoint_minutes": 0.0001, "threads": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    return make_store(folder, events=15_000, items=500, users=1_500)


@pytest.fixture(scope="module")
def small_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("small"), events=3_000, items=100, users=300)


def make_store(folder, **size):
    simulate(SimulationConfig(days=5, **size), folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder / "store"


def start(model, store, output):
    training = output.with_name(output.name + ".training")
    resume = ["--resume"] if (training / "checkpoint").exists() else ["--overwrite"]
    return subprocess.Popen(
        [sys.executable, "-m", "nextclick", "train", str(store), "-m", model, "-o", str(output),
         "--set", "epochs=3", "--set", "threads=1", "--set", "checkpoint_minutes=0.002", *resume],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def checkpoint_time(training):
    """When the checkpoint of a training was written; None without one."""
    try:
        return (training / "checkpoint").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def kill_after_checkpoint(process, training, delay):
    """Kill a run `delay` seconds after its first checkpoint; False if it ended before."""
    before = checkpoint_time(training)
    try:
        while process.poll() is None:
            if checkpoint_time(training) not in (None, before):
                time.sleep(delay)
                return True
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    return False


def kill(model, store, folder, kills):
    """Kill runs after checkpoints, again and again, and resume them; return the number of kills."""
    assert start(model, store, folder / "whole").wait() == 0
    expected = (folder / "whole" / "weights.safetensors").read_bytes()
    draw = random.Random(5)
    output, training = folder / "killed", folder / "killed.training"
    killed = 0
    for _ in range(kills):
        if killed == kills:
            break
        ended = False
        while killed < kills and not ended:
            process = start(model, store, output)
            ended = not kill_after_checkpoint(process, training, draw.uniform(0, 0.3))
            killed += not ended
        if not ended:
            assert start(model, store, output).wait() == 0
        assert (output / "weights.safetensors").read_bytes() == expected
        shutil.rmtree(output)
        shutil.rmtree(training, ignore_errors=True)
    return killed


def test_a_killed_training_goes_on_as_if_it_had_not_been(small_store, tmp_path):
    assert kill("gru4rec", small_store, tmp_path, 1) == 1


def killed_after_saving(store, output, monkeypatch, **arguments):
    """Train, and stop when the artifact is written and its checkpoints are not yet deleted."""

    def kill(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_training, "remove_checkpoints", kill)
        with pytest.raises(KeyboardInterrupt):
            train(store, "stamp", output, config=QUICK, **arguments)
    assert has_checkpoint(output.with_name(output.name + ".training"))
    return (output / "weights.safetensors").read_bytes()


def test_a_training_killed_after_saving_is_completed(small_store, tmp_path, monkeypatch):
    output = tmp_path / "stamp"
    weights = killed_after_saving(small_store, output, monkeypatch)
    train(small_store, "stamp", output, config=QUICK, neural=NeuralOptions(resume=True))
    assert (output / "weights.safetensors").read_bytes() == weights
    assert not has_checkpoint(tmp_path / "stamp.training")


def test_an_artifact_of_another_training_is_not_replaced(small_store, tmp_path, monkeypatch):
    output = tmp_path / "stamp"
    killed_after_saving(small_store, output, monkeypatch)
    other = tmp_path / "other"
    train(small_store, "pop", other)
    shutil.rmtree(output)
    other.rename(output)
    with pytest.raises(OutputError, match="already exists"):
        train(small_store, "stamp", output, config=QUICK, neural=NeuralOptions(resume=True))
    assert Artifact.load(output).model.name == "pop"


@pytest.mark.slow
@pytest.mark.parametrize("model", NEURAL)
def test_ten_kills_of_every_model(model, store, tmp_path, capsys):
    killed = kill(model, store, tmp_path, KILLS)
    assert killed > 0
    with capsys.disabled():
        print(json.dumps({"model": model, "killed": killed, "weights": "identical"}))  # noqa: T201
