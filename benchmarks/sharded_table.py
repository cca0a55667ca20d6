"""Measure a training and an evaluation with an item table that is split over processes.

    python benchmarks/sharded_table.py FOLDER [--items 5000000] [--width 128] [--steps 60]

The log has each item once or more, in random order, so nothing can be learned from it: the commands
are measured, not the model. They run with one process, and with two and `--shard-items`. The table
has the peak of the resident memory and the processor seconds of each process, the seconds of the
command, and its samples/s: prefixes trained on or ranked, without starting, reading and writing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

LENGTH, EXTRA = 5, 0.1  # clicks of a session; clicks beyond one for each item
TEST_SESSIONS = 10
DAY_MS = 86_400_000
GIB = 1 << 20  # in KiB


def main() -> None:
    """Run the commands and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    store = options.folder / "store"
    if not store.exists():
        log = options.folder / "log.parquet"
        write_log(log, options.items)
        subprocess.run(
            [sys.executable, "-m", "nextclick", "prepare", log, "-o", store, "--days", "1",
             "--min-item-support", "1", "--valid-fraction", "0.001"],
            check=True,
        )  # fmt: skip
        log.unlink()
    print("| command | processes | peak of each, GiB | processor seconds | seconds | samples/s |")
    print("|---|---|---|---|---|---|", flush=True)
    for size in (1, 2):
        model = options.folder / f"model-{size}"
        shutil.rmtree(model, ignore_errors=True)
        train = [
            "train",
            store,
            "-m",
            "narm",
            "-o",
            model,
            "--overwrite",
            "--json",
            *settings(options),
        ]
        report("train", size, *run(train, size), "samples_per_second")
        report("evaluate", size, *run(["evaluate", model, store, "-k", "20", "--bootstrap", "0",
                                       "--json"], size), "queries_per_second")  # fmt: skip
    first, second = (options.folder / f"model-{size}" / "weights.safetensors" for size in (1, 2))
    print(f"\nlargest difference of a weight: {difference(first, second):.1e}")


def settings(options: argparse.Namespace) -> list[str]:
    """The parameters of a training of some steps without a validation, and without dropout."""
    values = {
        "loss": "sampled", "negatives": 2048, "full_softmax_items": 0, "sparse": True,
        "embedding_width": options.width, "embedding_dropout": 0, "output_dropout": 0,
        "batch_size": 512, "min_steps": 0, "max_steps": options.steps, "validations": 1,
        "keep": "last", "threads": 1,
    }  # fmt: skip
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def write_log(path: Path, n_items: int) -> None:
    """Write sessions with all items in eight days, and a few sessions on a ninth."""
    rng = np.random.default_rng(0)
    items = np.concatenate(
        [rng.permutation(n_items), rng.integers(n_items, size=int(EXTRA * n_items))]
    )
    session = np.arange(len(items)) // LENGTH
    day = np.where(session < session[-1] - TEST_SESSIONS, session * 8 // session[-1], 9)
    times = 1_790_000_000_000 + day * DAY_MS + np.arange(len(items)) % LENGTH * 1000
    pl.DataFrame({"session_id": session, "item_id": items, "timestamp": times}).write_parquet(path)


def run(words: list[Any], size: int) -> tuple[dict[str, Any], list[Any], float]:
    """The JSON output of a command, the resources that each process used, and the seconds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "nextclick", *map(str, words)]
    torchrun = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
    start = time.perf_counter()
    started = []
    for rank in range(size):
        numbers = torchrun | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1}
        variables = {name: str(value) for name, value in numbers.items()}
        started.append(
            subprocess.Popen(
                command + ["--shard-items"] * (size > 1),
                env={**os.environ, **variables, "MASTER_ADDR": "127.0.0.1"},
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    output = started[0].stdout
    assert output is not None
    text = output.read()
    usages = []
    for process in started:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed; run it to see why")
        usages.append(usage)
    return json.loads(text), usages, time.perf_counter() - start


def report(
    name: str, size: int, found: dict[str, Any], usages: list[Any], seconds: float, speed: str
) -> None:
    """Print a row of the table."""
    numbers = found["result"]["evaluation"] if "result" in found else found
    memory = ", ".join(f"{usage.ru_maxrss / GIB:.2f}" for usage in usages)
    busy = ", ".join(f"{usage.ru_utime + usage.ru_stime:.0f}" for usage in usages)
    cells = [name, size, memory, busy, f"{seconds:.0f}", f"{numbers[speed]:.3g}"]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def difference(first: Path, second: Path) -> float:
    """The largest difference of the item tables of two artifacts."""
    from safetensors import safe_open

    with safe_open(first, "np") as a, safe_open(second, "np") as b:
        n = a.get_slice("items.weight").get_shape()[0]
        one, two = a.get_slice("items.weight"), b.get_slice("items.weight")
        ends = [*range(1 << 16, n, 1 << 16), n]
        return max(
            float(np.abs(one[begin:end] - two[begin:end]).max())
            for begin, end in zip([0, *ends[:-1]], ends, strict=True)
        )


if __name__ == "__main__":
    main()
