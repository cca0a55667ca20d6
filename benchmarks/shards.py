"""Measure memory and time with a store of one shard and with a store of several.

    python benchmarks/shards.py --events 20000000 --shards 10

A log of a shop is simulated with one item for 200 clicks, then prepared, trained on and evaluated
by the commands that a user types, each in a process of its own. Memory is reported twice: the peak
of the resident pages, as the system reports it, and the largest sample of those that are not
pages of files. The system drops pages of files whenever it needs their memory. The fingerprints of
the stores and the results must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.02
MIB = 1024.0  # kilobytes


def measured(command: list[str]) -> dict[str, float]:
    """Run a command; its seconds, peak memory, and peak memory without pages of files."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-m", "nextclick", *command], dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )  # fmt: skip
    own, ended = 0, 0
    while not ended:
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("utf-8"))
        own = max(own, int(found[1]) if found else 0)
        time.sleep(SAMPLE_SECONDS)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
    if status:
        raise SystemExit(f"nextclick {' '.join(command)} failed")
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / MIB,
        "own_mib": own / MIB,
    }


def steps(folder: Path, store: Path, shard_clicks: int, models: list[str]) -> dict[str, list[str]]:
    """The command of each step."""
    found = {
        "prepare": [
            "prepare", str(folder / "log.parquet"), "-o", str(store), "--shard-clicks",
            str(shard_clicks),
        ],
    }  # fmt: skip
    for model in models:
        artifact, result = f"{store}-{model}", f"{store}-{model}.json"
        found[f"train {model}"] = ["train", str(store), "-m", model, "-o", artifact]
        found[f"evaluate {model}"] = ["evaluate", artifact, str(store), "-k", "20", "-o", result]
    return found


def outcome(store: Path, models: list[str]) -> list[Any]:
    """The fingerprint of a store, and the metrics of the models."""
    results = [json.loads(Path(f"{store}-{model}.json").read_text("utf-8")) for model in models]
    manifest = json.loads((store / "manifest.json").read_text("utf-8"))
    return [manifest["fingerprint"], *(result["evaluation"]["metrics"] for result in results)]


def main() -> None:
    """Measure both stores, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--events", type=int, default=20_000_000)
    add("--shards", type=int, default=10)
    add("--models", nargs="+", default=["session-knn"])
    add("--folder", type=Path, default=Path("shards"), help="log and stores; removed at the end")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    log, events = options.folder / "log.parquet", options.events
    if not log.exists():
        simulate = ["simulate", "-o", str(log), "--events", str(events)]
        measured([*simulate, "--items", str(events // 200), "--users", str(events // 20)])
    print("| step | shards | processor seconds | seconds | peak, MiB | without files, MiB |")
    print("|---|---|---|---|---|---|")
    outcomes = []
    for n_shards in (1, options.shards):
        store = options.folder / f"store-{n_shards}"
        for step, command in steps(
            options.folder, store, -(-events // n_shards), options.models
        ).items():
            row = measured(command)
            print(
                f"| {step} | {n_shards} | {row['processor_seconds']:.1f} | {row['seconds']:.1f} "
                f"| {row['peak_mib']:,.0f} | {row['own_mib']:,.0f} |",
                flush=True,
            )
        outcomes.append(outcome(store, options.models))
    print("\nequal" if outcomes[0] == outcomes[1] else "\nDIFFERENT")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
