"""Measure each step from an empty Python environment to the first answer of a server.

    python benchmarks/first_answer.py [FOLDER]

The steps are those of the README: build the wheel, install it with the extras `neural` and `serve`
into a new virtual environment, simulate a log (or read --log), prepare it and train with
`nextclick run`, start the printed `nextclick serve` command, and send one request. The environment
and the models are written to FOLDER, by default a temporary one.

Packages come from the index, and the caches, that pip is configured to use; --no-cache-dir
downloads every package. Processor seconds include all child processes of the step.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server_process import Client, machine, running

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Step:
    """A command and its cost.

    Attributes:
        name: what it does.
        command: as it is typed.
        seconds: elapsed time.
        processor_seconds: user and system time; None if not measured.
    """

    name: str
    command: str
    seconds: float
    processor_seconds: float | None = None

    def row(self) -> str:
        """A row of the table."""
        processor = "–" if self.processor_seconds is None else f"{self.processor_seconds:.1f}"
        return f"| {self.name} | `{self.command}` | {self.seconds:.2f} | {processor} |"


class Steps:
    """Runs commands in a folder and records their cost."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.done: list[Step] = []

    def run(self, name: str, typed: str, command: list[str | Path]) -> str:
        """Run a command and return what it prints; `typed` is the command as users type it.

        Raises:
            SystemExit: the command fails.
        """
        began, before = time.perf_counter(), _processor_seconds()
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{typed}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        self.add(Step(name, typed, time.perf_counter() - began, _processor_seconds() - before))
        return done.stdout + done.stderr

    def add(self, step: Step) -> None:
        """Record a step and print its row."""
        self.done.append(step)
        print(step.row(), flush=True)


def processor_seconds(pid: int) -> float:
    """User and system time of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def install(steps: Steps, constraints: Path | None, pip_options: list[str]) -> Path:
    """Build the wheel, install it into a new environment, and return the folder of programs."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    wheel = steps.folder / "dist"
    steps.run(
        "build the wheel",
        "hatchling build -t wheel",
        ["env", "-C", ROOT, *build, "-d", wheel],
    )
    (built,) = wheel.glob("*.whl")
    venv = ["python", "-m", "venv", "env"]
    steps.run("create an environment", shlex.join(venv), [sys.executable, *venv[1:]])
    programs = steps.folder / "env" / "bin"
    options = [*pip_options, *(["--constraint", str(constraints)] if constraints else [])]
    steps.run(
        "install",
        f"env/bin/pip install '{built.name}[neural,serve]'",
        [programs / "pip", "install", "--quiet", *options, f"{built}[neural,serve]"],
    )
    return programs


def served_artifact(printed: str) -> str:
    """The artifact of the `nextclick serve` command that `nextclick run` prints.

    Raises:
        SystemExit: there is none.
    """
    found = re.search(r"nextclick serve (\S+)", printed)
    if found is None:
        raise SystemExit(f"nextclick run printed no nextclick serve command:\n{printed}")
    return found[1]


def serve(steps: Steps, program: Path, artifact: str, item: str) -> dict[str, Any]:
    """Start the server, measure its first answer, and stop it."""
    command = [str(program), "serve", str(steps.folder / artifact), "--port", "0"]
    with running(command) as server:
        used = processor_seconds(server.process.pid)
        steps.add(Step("serve, until ready", f"nextclick serve {artifact}", server.seconds, used))
        with Client(server.url) as client:
            request = {"session": [item], "k": 5}
            began = time.perf_counter()
            answer: dict[str, Any] = client.post("/v1/recommend", request)
            seconds = time.perf_counter() - began
    sent = f'curl localhost:8000/v1/recommend -d \'{{"session": [{item}], "k": 5}}\''
    steps.add(Step("first answer", sent, seconds))
    return answer


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Print one row for each step."""
    print(f"Python {sys.version.split()[0]}, {machine()}, load {os.getloadavg()[0]:.1f}\n")
    print("| step | command | seconds | processor seconds |")
    print("|---|---|---|---|")
    steps = Steps(folder)
    pip_options = ["--no-cache-dir"] if options.no_cache_dir else []
    program = install(steps, options.constraints, pip_options) / "nextclick"
    log = options.log or folder / "clicks.csv"
    if options.log is None:
        simulate = f"simulate --output clicks.csv --events {options.events}"
        steps.run("simulate a log", f"nextclick {simulate}", [program, *simulate.split()])
    budget = ["--budget", options.budget] if options.budget else []
    run = ["run", str(log), "-o", "shop", *budget]
    typed = shlex.join(["nextclick", "run", log.name, *run[2:]])
    printed = steps.run("prepare, train, compare", typed, [program, *run])
    item = log.read_text().splitlines()[1].split(",")[options.item_position]
    answer = serve(steps, program, served_artifact(printed), item)
    total = sum(step.seconds for step in steps.done)
    print(f"| total | {len(steps.done)} commands | {total:.1f} | – |\n")
    print(f"{answer['model']} recommends {answer['items']}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, help="new folder of the environment")
    parser.add_argument("--events", type=int, default=20_000, help="of the simulated log")
    parser.add_argument("--log", type=Path, help="CSV file, in place of a simulated log")
    parser.add_argument("--item-position", type=int, default=2, help="column of the items, from 0")
    parser.add_argument("--budget", help="of `nextclick run`, such as 3m")
    parser.add_argument("--constraints", type=Path, help="constraints of pip: constraints.txt")
    parser.add_argument("--no-cache-dir", action="store_true", help="download every package")
    options = parser.parse_args()
    os.environ.pop("PYTHONPATH", None)  # the installed package only
    for name in ("log", "constraints"):
        if getattr(options, name) is not None:
            setattr(options, name, getattr(options, name).resolve())
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        measure(options, options.folder.resolve())
        return
    with tempfile.TemporaryDirectory(prefix="nextclick-first-answer-") as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
