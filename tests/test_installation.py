"""The package as users install it: built, installed into an empty environment, run and served."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import nextclick
from started_server import first_answer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("hatchling") is None, reason="needs hatchling to build"),
]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the wheel and of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
    subprocess.run([*command, "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def program(built, tmp_path_factory):
    """The program in an environment that has the wheel with two extras, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (wheel,) = built.glob("*.whl")
    install = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    constraint = ["--constraint", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*install, *constraint, f"{wheel}[neural,serve]"], capture_output=True, text=True
    )
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "bin/nextclick"


@pytest.fixture(scope="module")
def work(program, tmp_path_factory):
    """Runs the program in a folder of its own, without the packages of this environment."""
    folder = tmp_path_factory.mktemp("work")
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}

    def run(*words):
        command = [str(program), *map(str, words)]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.start = lambda *words: subprocess.Popen(
        [str(program), *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    run.folder = folder
    return run


def test_both_distributions_hold_the_package(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    package = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src/nextclick").rglob("*.py")}
    assert in_wheel == package
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in package} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_from_a_log_to_the_first_answer_of_a_server(work):
    assert work("--version").strip() == f"nextclick {nextclick.__version__}"
    work("simulate", "-o", "clicks.csv", "--events", 6000, "--items", 80, "--users", 300)
    printed = json.loads(work("run", "clicks.csv", "-o", "shop", "--budget", 0.2, "--json"))
    labels = {row["label"] for row in printed["comparison"]["leaderboard"]}
    assert "session-knn" in labels
    assert any("blend" in label for label in labels)
    item = int((work.folder / "clicks.csv").read_text().splitlines()[1].split(",")[2])
    server = work.start("serve", "shop/models/blend/artifact", "--port", "0")
    try:
        answer = first_answer(server, {"session": [item], "k": 3})
    finally:
        server.terminate()
        server.communicate(timeout=600)
    offline = json.loads(
        work("recommend", "shop/models/blend/artifact", "-s", item, "-k", 3, "--json")
    )
    assert answer["items"] == offline["items"]
