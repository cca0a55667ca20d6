"""What `kill -9` leaves of a refresh: a current version that can be loaded, the old or the new."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from nextclick import train
from nextclick.artifact import Artifact, Registry
from small_shop import frame_of, make_store

QUICK, SLOW = 3, 50
NEW = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 60]] * 5


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A registry with one version, and the log of the day after."""
    folder = tmp_path_factory.mktemp("shop")
    train(make_store(folder / "store"), "session-knn", folder / "model")
    Registry.create(folder / "registry").publish(folder / "model")
    frame = frame_of(NEW)
    frame = frame.with_columns(time=frame["time"] + 1000 * 3600, session=frame["session"] + 1000)
    frame.write_csv(folder / "new.csv")
    return folder


def start(place, shop):
    command = [sys.executable, "-m", "nextclick", "refresh", place, shop / "new.csv"]
    return subprocess.Popen(
        [*map(str, command), "--metric", "recall@2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def is_writing(place):
    return any((place / "versions").glob(".v2.*.part"))


def bytes_of(version):
    return (version.path / "weights.safetensors").read_bytes()


def kill_many(kills, shop, place):
    """Kill refreshes, half of them anywhere, half from the moment on at which they write."""

    def anew():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(shop / "registry", place)

    anew()
    began = time.perf_counter()
    process = start(place, shop)
    while process.poll() is None and not is_writing(place):
        time.sleep(0.0005)
    wrote = time.perf_counter()
    assert process.wait() == 0
    whole, writing = time.perf_counter() - began, time.perf_counter() - wrote
    expected = {version.name: bytes_of(version) for version in Registry(place).versions()}
    assert set(expected) == {"v1", "v2"}
    draw, found = random.Random(11), Counter()
    for number in range(kills):
        anew()
        process = start(place, shop)
        delay = draw.uniform(0, whole)
        if number % 2:
            while process.poll() is None and not is_writing(place):
                time.sleep(0.0005)
            delay = draw.uniform(0, min(writing, 0.1))
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        current = Registry(place).current()
        assert bytes_of(current) == expected[current.name]
        assert len(Artifact.load(current.path).items) == {"v1": 5, "v2": 6}[current.name]
        found[current.name] += 1
    process = start(place, shop)
    assert process.wait() in (0, 2)  # 2: it had been refreshed already, so the log is no newer
    names = [p.name for p in (place / "versions").iterdir()]
    assert not [name for name in names if name.startswith(".v2.")] or "v2" in names
    return found


def test_a_killed_refresh_leaves_a_current_version(shop, tmp_path):
    assert kill_many(QUICK, shop, tmp_path / "place").total() == QUICK


@pytest.mark.slow
def test_fifty_killed_refreshes_leave_a_current_version(shop, tmp_path, capsys):
    found = kill_many(SLOW, shop, tmp_path / "place")
    assert found.total() == SLOW
    with capsys.disabled():
        print(json.dumps(found))  # noqa: T201
