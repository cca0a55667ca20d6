"""A package installed beside nextclick adds a model to every command; nextclick stays as it is."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).parent / "toy_package"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The nextclick command of an environment with the wheels of nextclick and of the package."""
    if find_spec("hatchling") is None:
        pytest.skip("needs hatchling to build wheels without network: pip install hatchling")
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip"]
    wheel = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder / "dist")]
    subprocess.run([*wheel, str(ROOT), str(TOY)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    # dependencies only: what is installed here comes after what is installed there
    (packages / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    wheels = map(str, (folder / "dist").glob("*.whl"))
    install = [*pip, "--python", str(python), "install", "-q", "--no-deps", "--no-index", *wheels]
    subprocess.run(install, check=True)
    return folder / "venv/bin/nextclick"


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}

    def ran(*words):
        done = subprocess.run(
            [command, *words, "--json"], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return json.loads(done.stdout)

    ran.start = lambda *words: subprocess.Popen(
        [command, *words], cwd=folder, env=environment, stderr=subprocess.DEVNULL
    )
    ran("simulate", "-o", "log.csv", "--events", "4000", "--items", "60", "--users", "300")
    ran("prepare", "log.csv", "-o", "store")
    ran.item = (folder / "log.csv").read_text().splitlines()[1].split(",")[2]
    return ran


@pytest.mark.slow
def test_every_command_knows_the_model(run):
    assert run("models")["models"]["fading-markov"]["summary"].startswith("Transition probab")
    run("train", "store", "-m", "fading-markov", "--set", "fade=0.3", "-o", "fading")
    metrics = run("evaluate", "fading", "store", "-k", "5")["result"]["evaluation"]["metrics"]
    assert metrics["recall@5"]["value"] > 0
    rows = run("compare", "store", "-m", "pop,fading-markov", "-o", "c")["comparison"]
    assert {row["model"] for row in rows["leaderboard"]} == {"pop", "fading-markov"}
    assert run("recommend", "fading", "-s", run.item, "-k", "3")["items"]
    why = run("explain", "fading", "-s", run.item, "-k", "1")
    assert why["explanations"][0]["parts"]


@pytest.mark.slow
def test_it_is_served(run):
    run("train", "store", "-m", "fading-markov", "-o", "served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = run.start("serve", "served", "--port", str(port))
    try:
        body = json.dumps({"session": [run.item], "k": 3}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/recommend", body, {"Content-Type": "application/json"}
        )
        answer = _answer(request, server)
        assert len(answer["items"]) == 3
        assert answer["from_model"] > 0
    finally:
        server.terminate()
        server.wait(30)


def _answer(request, server):
    """What the server answers once it is up."""
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise AssertionError(error.read().decode()) from error
        except urllib.error.URLError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not answer within a minute")
