"""Measure how long artifacts and stores take to load, with and without the checks of their files.

    python benchmarks/load_time.py FOLDER [FOLDER ...]

A FOLDER is an artifact, or a store, of which the training part is read. Without checks, neither
the digest of a file nor the values of an array are looked at. The files are in the memory of the
system when they are measured, and each number is the median of --repeats loads in one process, in
turns. "Again" is a second load in one process: a store reads its files once, an artifact each time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from nextclick.artifact import Artifact
from nextclick.core import array_checks, file_digests
from nextclick.data.store import Store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

MB = 1e6


def main() -> None:
    """Print one row for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(
        "| folder | MB | with checks, ms | without digests, ms | without checks, ms | again, ms |"
    )
    print("|---|---|---|---|---|---|")
    for folder in options.folders:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        _load(folder)  # imports, and the pages of the files
        columns: list[list[float]] = [[], [], [], []]
        for _ in range(options.repeats):
            file_digests._verified.clear()  # as a new process starts
            columns[0].append(_seconds(folder))
            columns[3].append(_seconds(folder))
            with _without_digests():
                columns[1].append(_seconds(folder))
            with _without_digests(), _without_array_checks():
                columns[2].append(_seconds(folder))
        medians = " | ".join(f"{1000 * statistics.median(times):.1f}" for times in columns)
        print(f"| {folder.name} | {size / MB:.1f} | {medians} |", flush=True)


def _load(folder: Path) -> None:
    if (folder / "train").is_dir():
        Store.open(folder).part("train")
    else:
        Artifact.load(folder)


def _seconds(folder: Path) -> float:
    start = time.perf_counter()
    _load(folder)
    return time.perf_counter() - start


def _without_digests() -> AbstractContextManager[object]:
    return mock.patch.object(file_digests, "_damage", return_value=None)


def _without_array_checks() -> ExitStack:
    """Replace the checks of values wherever a module has imported them."""
    stack = ExitStack()
    names = [name for name in vars(array_checks) if name.startswith("check_")]
    for module in [m for name, m in sys.modules.items() if name.startswith("nextclick")]:
        for name in names:
            if vars(module).get(name) is vars(array_checks)[name] is not None:
                stack.enter_context(mock.patch.object(module, name, return_value=None))
    return stack


if __name__ == "__main__":
    main()
