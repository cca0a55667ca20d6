"""Measure how time and memory of each step grow with the number of clicks.

    python benchmarks/scaling.py -o scaling.jsonl
    python benchmarks/scaling.py -o scaling.jsonl --events 1000000 3000000 10000000 30000000

Logs of a shop are simulated with one item for 200 clicks and one user for 20, then prepared, and
models are trained and evaluated by the commands that a user types, each in a process of its own.
The table has the processor seconds, the seconds and the peak memory of each process, and the
exponent of their growth: 1 is linear, and a constant part, such as imports, lowers it. Steps that
are in the file are not measured again.

NARM is trained for 500 steps of 512 prefixes, so its time shows the cost of a step on a catalog
that grows with the log, and its memory is that of the whole training.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

MIB = 1024.0  # kilobytes
STEPS = ("simulate", "prepare", "train session-knn", "train narm", "evaluate session-knn")


def commands(folder: Path, events: int) -> dict[str, list[str]]:
    """The command of each step."""
    items, users = max(events // 200, 1000), max(events // 20, 1000)
    log, store = folder / "log.parquet", folder / "store"
    return {
        "simulate": [
            "simulate", "-o", str(log), "--events", str(events), "--items", str(items),
            "--users", str(users),
        ],
        "prepare": ["prepare", str(log), "-o", str(store)],
        "train session-knn": ["train", str(store), "-m", "session-knn", "-o", str(folder / "knn")],
        "train narm": [
            "train", str(store), "-m", "narm", "-o", str(folder / "narm"), "--set", "loss=sampled",
            "--set", "negatives=2048", "--set", "sparse=true", "--set", "batch_size=512",
            "--set", "max_steps=500", "--set", "keep=last", "--set", "threads=1",
        ],
        "evaluate session-knn": ["evaluate", str(folder / "knn"), str(store), "-k", "20"],
    }  # fmt: skip


def measured(command: list[str]) -> dict[str, float]:
    """Run a command; its seconds and peak memory."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-m", "nextclick", *command], dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )  # fmt: skip
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"nextclick {' '.join(command)} failed")
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / MIB,
    }


def exponent(events: list[int], values: list[float]) -> float:
    """The slope of log(value) over log(events), by least squares."""
    return float(np.polyfit(np.log(events), np.log(values), 1)[0])


def main() -> None:
    """Measure what is missing, and print a table for each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, help="JSON lines, appended to")
    add("--folder", type=Path, default=Path("scaling"), help="logs and stores; removed at the end")
    add("--events", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    options = parser.parse_args()
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    if options.output.exists():
        for line in options.output.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[row["events"], row["step"]] = row
    for events in options.events:
        folder = options.folder / str(events)
        folder.mkdir(parents=True, exist_ok=True)
        for step, command in commands(folder, events).items():
            if (events, step) not in rows:
                row = {"events": events, "step": step, **measured(command)}
                rows[events, step] = row
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        shutil.rmtree(folder)
    for step in STEPS:
        print(f"\n{step}\n\n| clicks | processor seconds | seconds | peak memory, MiB |")
        print("|---|---|---|---|")
        mine = [rows[events, step] for events in options.events]
        for row in mine:
            print(
                f"| {row['events']:,} | {row['processor_seconds']:.1f} | {row['seconds']:.1f} "
                f"| {row['peak_mib']:,.0f} |"
            )
        if len(mine) > 1:
            slopes = [
                exponent(options.events, [row[name] for row in mine])
                for name in ("processor_seconds", "seconds", "peak_mib")
            ]
            print(f"| exponent | {' | '.join(f'{slope:.2f}' for slope in slopes)} |")


if __name__ == "__main__":
    main()
