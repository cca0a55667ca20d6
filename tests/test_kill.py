"""What `kill -9` leaves: a whole output or none, and nothing that stops the next run."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from nextclick import Recommender, Store, evaluate, prepare, train
from nextclick.data.simulate import simulate
from nextclick.data.simulation import SimulationConfig
from nextclick.folders import fingerprint

QUICK, SLOW = 2, 50  # kills of each command


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log, its store, and what a whole store and a whole artefact look like."""
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=300_000, items=3_000, users=20_000, days=5)
    simulate(config, folder / "log.parquet")
    store = prepare(folder / "log.parquet", folder / "store").store
    train(store, "item-knn", folder / "model")
    return folder


def command(name, shop, output):
    arguments = {
        "prepare": ["prepare", str(shop / "log.parquet")],
        "train": ["train", str(shop / "store"), "--model", "item-knn"],
    }[name]
    return [sys.executable, "-m", "nextclick", *arguments, "-o", str(output), "--overwrite"]


def run_whole(name, shop, output):
    began = time.perf_counter()
    subprocess.run(command(name, shop, output), check=True, capture_output=True)
    return time.perf_counter() - began


def kill_after(delay, name, shop, output):
    process = subprocess.Popen(
        command(name, shop, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def assert_whole_store(output, shop):
    store = Store.open(output)
    expected = Store.open(shop / "store")
    assert store.fingerprint == expected.fingerprint == fingerprint(output)
    assert store.manifest["counts"] == expected.manifest["counts"]
    assert evaluate(shop / "model", store, ks=[20], n_bootstrap=0).metrics["recall@20"].value > 0


def assert_whole_artefact(output, shop):
    sessions = [[str(i)] for i in range(1, 200)]
    found, expected = (
        [answer.items for answer in Recommender.load(path).recommend(sessions, k=5)]
        for path in (output, shop / "model")
    )
    assert found == expected


def kill_many(name, kills, shop, folder):
    """Kill `name` at random moments of its run; count what was there before and after."""
    check = assert_whole_store if name == "prepare" else assert_whole_artefact
    output = folder / "output"
    duration = run_whole(name, shop, output)
    draw = random.Random(7)
    found = Counter()
    for number in range(kills):
        # every other run meets an output to replace, the rest a free place
        if number % 2 == 0 and output.exists():
            output.rename(folder / f"whole-{number}")
        place = "replacing" if output.exists() else "free"
        kill_after(draw.uniform(0, duration), name, shop, output)
        found[f"{place}: {'whole' if output.exists() else 'absent'}"] += 1
        if output.exists():
            check(output, shop)
    strangers = [p.name for p in folder.iterdir() if not p.name.startswith((".output.", "whole-"))]
    assert set(strangers) <= {"output"}
    run_whole(name, shop, output)
    check(output, shop)
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
    return found


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_a_killed_command_leaves_a_whole_output_or_none(name, shop, tmp_path):
    assert kill_many(name, QUICK, shop, tmp_path).total() == QUICK


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["prepare", "train"])
def test_fifty_killed_commands_leave_whole_outputs_or_none(name, shop, tmp_path, capsys):
    found = kill_many(name, SLOW, shop, tmp_path)
    assert found.total() == SLOW
    with capsys.disabled():
        print(json.dumps({"command": name, **found}))  # noqa: T201
