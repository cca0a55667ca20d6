"""`kill -9` while a neural model is trained: resumed, it has the weights of a run left alone."""

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from installed import NEURAL
from nextclick import prepare
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig

KILLS = 10


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=15_000, items=500, users=1_500, days=5)
    simulate(config, folder / "log.parquet")
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


def kill(model, store, folder, kills):
    """Kill a run at random moments and let it end; count the kills that it had to go on from."""
    began = time.perf_counter()
    assert start(model, store, folder / "whole").wait() == 0
    duration = time.perf_counter() - began
    expected = (folder / "whole" / "weights.safetensors").read_bytes()
    draw = random.Random(5)
    resumed = 0
    while resumed < kills:
        output = folder / "killed"
        process = start(model, store, output)
        try:
            process.wait(draw.uniform(0.3, 1) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            resumed += (folder / "killed.training" / "checkpoint").exists()
            assert start(model, store, output).wait() == 0
        assert (output / "weights.safetensors").read_bytes() == expected
        shutil.rmtree(output)
        shutil.rmtree(folder / "killed.training")
    return resumed


def test_a_killed_training_goes_on_as_if_it_had_not_been(store, tmp_path):
    assert kill("gru4rec", store, tmp_path, 1) == 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("model", NEURAL)
def test_ten_kills_of_every_model(model, store, tmp_path, capsys):
    found = kill(model, store, tmp_path, KILLS)
    with capsys.disabled():
        print(json.dumps({"model": model, "resumed": found, "weights": "identical"}))  # noqa: T201
