"""What `kill -9` leaves: a whole output or none, and nothing that stops the next run."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from nextclick import Recommender, Store, evaluate, prepare, train
from nextclick.core.manifests import check_folder
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig

QUICK, SLOW = 2, 50  # kills of each command


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log, its store, and what a whole store and a whole artifact look like."""
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=300_000, items=3_000, users=20_000, days=5)
    simulate(config, folder / "log.parquet")
    store = prepare(folder / "log.parquet", folder / "store").store
    train(store, "item-knn", folder / "model")
    return folder


def command(name, shop, output):
    arguments = {
        "prepare": ["prepare", str(shop / "log.parquet")],
        "prepare shards": ["prepare", str(shop / "log.parquet"), "--shard-clicks", "20000"],
        "train": ["train", str(shop / "store"), "--model", "item-knn"],
    }[name]
    return [sys.executable, "-m", "nextclick", *arguments, "-o", str(output), "--overwrite"]


def is_written(folder):
    return any(folder.glob(".output.*.part"))


def run(name, shop, output, *, until=None, delay=None):
    """Run to the end, or kill `delay` seconds after the start or after `until` holds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command(name, shop, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while until is not None and process.poll() is None and not until(output.parent):
        time.sleep(0.0005)
    reached = time.perf_counter()
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = time.perf_counter()
    return ended - began, ended - reached


def assert_whole_store(output, shop):
    store = Store.open(output)
    expected = Store.open(shop / "store")
    check_folder(output)
    assert store.fingerprint == expected.fingerprint
    assert store.manifest["counts"] == expected.manifest["counts"]
    assert evaluate(shop / "model", store, ks=[20], n_bootstrap=0).metrics["recall@20"].value > 0


def assert_whole_artifact(output, shop):
    sessions = [[str(i)] for i in range(1, 200)]
    found, expected = (
        [answer.items for answer in Recommender.load(path).recommend(sessions, k=5)]
        for path in (output, shop / "model")
    )
    assert found == expected


def kill_many(name, kills, shop, folder):
    """Kill `name` at random moments; count what stood there before and after.

    Half of the moments are drawn over the whole run, half over the time in which it writes. Half
    of the runs find a free place, half find an output to replace.
    """
    check, whole = {
        "prepare": (assert_whole_store, shop / "store"),
        "prepare shards": (assert_whole_store, shop / "store"),
        "train": (assert_whole_artifact, shop / "model"),
    }[name]
    folder.mkdir()
    output = folder / "output"
    duration, writing = run(name, shop, output, until=is_written)
    draw = random.Random(7)
    found = Counter()
    for number in range(kills):
        shutil.rmtree(output, ignore_errors=True)
        if number % 4 in (1, 2):
            shutil.copytree(whole, output)
        before = "replacing" if output.exists() else "free"
        if number % 2:
            shutil.rmtree(folder)  # with what earlier kills left: `until` would take it for ours
            folder.mkdir()
            if before == "replacing":
                shutil.copytree(whole, output)
            run(name, shop, output, until=is_written, delay=draw.uniform(0, writing))
        else:
            run(name, shop, output, delay=draw.uniform(0, duration))
        found[f"{before}: {'whole' if output.exists() else 'absent'}"] += 1
        if output.exists():
            check(output, shop)
        assert {p.name for p in folder.iterdir() if not p.name.startswith(".output.")} <= {"output"}
    run(name, shop, output)
    check(output, shop)
    assert [p.name for p in folder.iterdir()] == ["output"]
    return found


@pytest.mark.parametrize("name", ["prepare", "prepare shards", "train"])
def test_a_killed_command_leaves_a_whole_output_or_none(name, shop, tmp_path):
    assert kill_many(name, QUICK, shop, tmp_path / "place").total() == QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "prepare shards", "train"])
def test_fifty_killed_commands_leave_whole_outputs_or_none(name, shop, tmp_path, capsys):
    found = kill_many(name, SLOW, shop, tmp_path / "place")
    assert found.total() == SLOW
    with capsys.disabled():
        print(json.dumps({"command": name, **found}))  # noqa: T201
