"""`kill -9` of one of two processes: torchrun restarts them, and the result is the same."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from nextclick import prepare
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from test_kill_training import checkpoint_time

SPLIT = ("--shard-items", "--set", "sparse=true", "--set", "full_softmax_items=0")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    simulate(SimulationConfig(events=6_000, items=300, users=800, days=5), folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder / "store"


def start(store, output, kills, options):
    with output.with_suffix(".txt").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "--max-restarts", str(kills + 5), "--monitor-interval", "0.05", "-m", "nextclick",
             "train", str(store), "-m", "narm", "-o", str(output), "--set", "epochs=4",
             "--set", "checkpoint_minutes=0.002", *options],
            stdout=log,
            stderr=log,
        )  # fmt: skip


def ranks(process):
    """The process ids of the ranks below torchrun."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def latest_checkpoint(training):
    """When the newest checkpoint of either training was written; None without one."""
    times = [checkpoint_time(training), checkpoint_time(training / "choose")]
    return max((time for time in times if time is not None), default=None)


def kill_ranks(process, training, kills, draw):
    """Kill one rank after a checkpoint, again and again; return the number of kills."""
    killed, before = 0, None
    while process.poll() is None:
        now = latest_checkpoint(training)
        if killed < kills and now not in (None, before) and len(pids := ranks(process)) == 2:
            time.sleep(draw.uniform(0, 0.5))
            try:
                os.kill(draw.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed += 1
            while set(ranks(process)) & set(pids) and process.poll() is None:
                time.sleep(0.01)
            before = latest_checkpoint(training)
        time.sleep(0.01)
    return killed


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pgrep") is None, reason="needs pgrep, to find the ranks")
@pytest.mark.parametrize(("kills", "options"), [(10, ()), (3, SPLIT)], ids=["whole", "split"])
def test_kills_of_a_rank(store, tmp_path, capsys, kills, options):
    whole, output = tmp_path / "whole", tmp_path / "killed"
    assert start(store, whole, kills, options).wait() == 0, whole.with_suffix(".txt").read_text()
    process = start(store, output, kills, options)
    try:
        killed = kill_ranks(process, tmp_path / "killed.training", kills, random.Random(5))
    finally:
        if process.poll() is None:
            left = ranks(process)
            process.kill()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, output.with_suffix(".txt").read_text()
    assert killed > 0
    name = "weights.safetensors"
    assert (output / name).read_bytes() == (whole / name).read_bytes()
    with capsys.disabled():
        print({"killed": killed, "options": options, "weights": "identical"})  # noqa: T201
