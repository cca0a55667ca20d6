"""A small shop for `fault_matrix.py`: a log, a store and two artifacts, written by one version."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SESSION = "1000301,1000178"  # items of the simulated log
_REDIGEST = """
import json, sys
from pathlib import Path
folder, fields = Path(sys.argv[1]), json.loads(sys.argv[2])
try:
    from nextclick.core.manifests import rewrite_manifest
except ModuleNotFoundError:  # an older version, without digests
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
else:
    rewrite_manifest(folder, **fields)
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    output: str
    errors: str

    @property
    def exit(self) -> str:
        """Exit code as a shell reports it, with the name of a signal."""
        if self.code >= 0:
            return str(self.code)
        return f"{128 - self.code} ({signal.Signals(-self.code).name})"

    @property
    def message(self) -> str:
        """The line of the error, or the last line; nothing for a command that succeeds."""
        if self.code == 0:
            return ""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error")]
        return (errors or lines[-1:] or [""])[0]


@dataclass(frozen=True)
class Row:
    """The outcome of a fault.

    Attributes:
        command: the command that meets the fault.
        exit: its exit code, or counts of several.
        left: what is there afterwards.
        message: what the command writes.
    """

    command: str
    exit: str
    left: str = ""
    message: str = ""


@dataclass(frozen=True)
class Shop:
    """A folder with `clicks.csv`, `store`, `knn` and `pop`, and the commands of a source tree.

    Attributes:
        folder: the folder.
        source: the `src` folder of the commands; None runs the installed package.
    """

    folder: Path
    source: Path | None = None
    environment: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Take the environment of this process, with another source."""
        self.environment.update(os.environ, COLUMNS="200", OMP_NUM_THREADS="1")
        if self.source is not None:
            self.environment["PYTHONPATH"] = str(self.source.resolve())

    def build(self) -> None:
        """Write the log, the store and the artifacts.

        Raises:
            SystemExit: a command fails.
        """
        size = ("--events", "6000", "--items", "100", "--users", "300")
        for command in (
            ("simulate", "-o", "clicks.csv", *size),
            ("prepare", "clicks.csv", "-o", "store"),
            ("train", "store", "-m", "session-knn", "-o", "knn"),
            ("train", "store", "-m", "pop", "-o", "pop"),
        ):
            ended = self.run(*command)
            if ended.code != 0:
                raise SystemExit(f"nextclick {' '.join(command)}: {ended.errors}")

    def start(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start `nextclick` with some arguments, after the words `before`."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", "nextclick", *arguments],
            cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> Ended:
        """Run `nextclick` to its end."""
        process = self.start(*arguments, before=before)
        try:
            output, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
        return Ended(process.returncode, output, errors)

    @contextmanager
    def served(self, *arguments: str) -> Iterator[tuple[str | None, Ended | None]]:
        """Start a server; its address, or how it ended instead of listening."""
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nextclick", "serve", *arguments, "--port", "0"],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                until, address = time.monotonic() + 60, None
                while address is None and process.poll() is None and time.monotonic() < until:
                    time.sleep(0.1)
                    log.seek(0)
                    written = log.read()
                    address = re.search(r"http://([\d.]+:\d+)", written)
                ended = None if process.returncode is None else process.returncode
                yield (
                    None if address is None else address[1],
                    None if ended is None else Ended(ended, "", written),
                )
            finally:
                process.terminate()
                process.wait(30)

    def row(self, *arguments: str, left: Callable[[], str] | None = None) -> Row:
        """Run a command and describe its outcome."""
        ended = self.run(*arguments)
        return Row(" ".join(arguments), ended.exit, "" if left is None else left(), ended.message)

    def copy(self, name: str, target: str) -> Path:
        """Copy a folder of the shop."""
        return Path(shutil.copytree(self.folder / name, self.folder / target))

    def rewrite_manifest(self, folder: Path, **fields: Any) -> None:
        """Change fields of a manifest, and give the folder valid digests."""
        subprocess.run(
            [sys.executable, "-c", _REDIGEST, str(folder), json.dumps(fields)],
            env=self.environment, check=True,
        )  # fmt: skip

    def change_array(self, file: Path, change: Callable[[Any], None]) -> None:
        """Change an array in place, with valid digests."""
        array = np.load(file)
        change(array)
        np.save(file, array)
        self.rewrite_manifest(file.parents[1])

    def change_weights(self, artifact: Path, name: str, change: Callable[[Any], None]) -> None:
        """Change an array of the weights in place, with valid digests."""
        file = artifact / "weights.safetensors"
        arrays = load_file(file)
        change(arrays[name])
        save_file(arrays, file)
        self.rewrite_manifest(artifact)

    def loads(self, artifact: str) -> str:
        """Whether an artifact or a registry can be loaded."""
        ended = self.run("recommend", artifact, "-s", SESSION, "-k", "1", "--json")
        return "loadable" if ended.code == 0 else "not loadable"


def shortened(text: str, folder: Path) -> str:
    """A message without the temporary folder, fit for a cell of a table."""
    text = text.replace(f"{folder}/", "").replace("|", "\\|")
    return re.sub(r"\s+", " ", text)[:220]
