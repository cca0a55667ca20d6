"""Measure `nextclick recommend --sessions`: sessions per second and memory.

    python benchmarks/batch_scoring.py work --sessions 1000000
    python benchmarks/batch_scoring.py work --sessions 10000000

A log is simulated until it has the sessions. Session-based k-NN is trained on its first million
clicks, and then recommends 20 items for every session of the whole log, from a row per click, whose
sessions interleave, and from a row per session. Each run is a process of its own, so that its peak
memory is that of the whole command. On a busy machine the processor time says more than the wall
time. The folder is reused: a second run measures only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

CLICKS_PER_SESSION = 5.0
TRAINING_CLICKS = 1_000_000


def main() -> None:
    """Write what is missing, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--model", default="session-knn")
    parser.add_argument("-k", type=int, default=20)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder, arguments.model, arguments.items)
    tables = write_tables(folder, arguments.sessions, arguments.items)
    for form, table in tables.items():
        for suffix in ("parquet", "csv"):
            measure(model, table, folder / f"answers.{suffix}", form, arguments.k)


def write_model(folder: Path, name: str, items: int) -> Path:
    """Train on a simulated log."""
    model = folder / name
    if not model.exists():
        log, store = folder / "training.parquet", folder / "store"
        if not store.exists():
            simulate(log, TRAINING_CLICKS, items)
            nextclick("prepare", log, "-o", store)
        nextclick("train", store, "--model", name, "-o", model)
    return model


def write_tables(folder: Path, n_sessions: int, items: int) -> dict[str, Path]:
    """The same sessions as a row per click and as a row per session."""
    import polars as pl

    clicks = folder / f"clicks-{n_sessions}.parquet"
    lists = folder / f"lists-{n_sessions}.parquet"
    if not clicks.exists():
        whole = folder / "whole.parquet"
        simulate(whole, round(n_sessions * CLICKS_PER_SESSION * 1.1), items)
        log = pl.scan_parquet(whole).select("session_id", "item_id", "timestamp")
        first = log.select("session_id").unique(maintain_order=True).head(n_sessions).collect()
        log.join(first.lazy(), on="session_id", how="semi", maintain_order="left").sink_parquet(
            clicks
        )
        whole.unlink()
    if not lists.exists():
        sessions = pl.scan_parquet(clicks).group_by("session_id", maintain_order=True)
        sessions.agg("item_id", "timestamp").sink_parquet(lists, row_group_size=100_000)
    return {"a row per click": clicks, "a row per session": lists}


def simulate(path: Path, events: int, items: int) -> None:
    """A shop; the length is the mean number of clicks of a session."""
    nextclick(
        "simulate", "-o", path, "--events", events, "--items", items, "--users", 200_000,
        "--length", CLICKS_PER_SESSION,
    )  # fmt: skip


def measure(model: Path, table: Path, output: Path, form: str, k: int) -> None:
    """Run the command once, and print what it reports."""
    load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    found = nextclick(
        "recommend", model, "--sessions", table, "-o", output, "--overwrite", "-k", k, "--json"
    )
    rate = found["sessions"] / found["seconds"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{form} to {output.suffix}: {found['sessions']:,} sessions, {found['clicks']:,} clicks, "
        f"{found['recommended']:,} items in {found['seconds']:.0f} s: {rate:,.0f} sessions/s; "
        f"{seconds:.0f} s of processor time, {1e6 * seconds / found['sessions']:.0f} µs each; "
        f"peak memory {found['peak_memory_bytes'] / 2**20:,.0f} MiB; "
        f"output {output.stat().st_size / 2**20:,.0f} MiB; load before {load:.1f}",
        flush=True,
    )


def nextclick(*words: object) -> dict[str, Any]:
    """Run a command; return what it prints with --json, else nothing."""
    command = [sys.executable, "-m", "nextclick", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if "--json" in words else {}


if __name__ == "__main__":
    main()
