"""Measure time and memory of preparing a log, against a plain pandas script with the same steps.

    nextclick simulate -o log.parquet --events 100000000 --items 500000 --users 5000000
    python benchmarks/prepare.py log.parquet

Both read the log and sort clicks into sessions. They drop items with fewer than 5 clicks and
sessions with fewer than 2 until nothing changes, and split off the last day by the session's last
click. They number the items of training and write the same arrays. Each runs in its own process;
their counts must be equal. Needs pandas and pyarrow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DAY_MS = 86_400_000


def with_nextclick(log: Path, output: Path) -> dict[str, int]:
    """Prepare with this package."""
    from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions
    from nextclick.data.prepare_store import prepare

    options = PrepareOptions(
        filters=FilterOptions(filter_on="all"), split=SplitOptions(kind="last-days")
    )
    counts = prepare(log, output, options=options).store.manifest["counts"]
    return {
        f"{part}_{what}": counts[part][what]
        for part in ("train", "test")
        for what in ("events", "sessions", "items")
    }


def with_pandas(log: Path, output: Path) -> dict[str, int]:
    """Prepare the way an engineer would write it down."""
    import numpy as np
    import pandas as pd

    columns = ["session_id", "user_id", "item_id", "timestamp"]
    if log.suffix == ".parquet":
        clicks = pd.read_parquet(log, columns=columns)
    else:
        clicks = pd.read_csv(log, usecols=columns)
    clicks = clicks.sort_values(["session_id", "timestamp"], kind="stable", ignore_index=True)
    end_of = clicks.groupby("session_id", sort=False)["timestamp"].last()
    before = -1
    while len(clicks) != before:
        before = len(clicks)
        clicks = clicks[clicks.groupby("session_id")["item_id"].transform("size") >= 2]
        clicks = clicks[clicks.groupby("item_id")["session_id"].transform("size") >= 5]
        clicks = clicks[clicks.groupby("session_id")["item_id"].transform("size") >= 2]
    clicks["end"] = clicks["session_id"].map(end_of)
    late = clicks["end"] >= clicks["end"].max() - DAY_MS
    train, test = clicks[~late], clicks[late]
    del clicks
    items = np.sort(train["item_id"].unique())
    test = test[test["item_id"].isin(items)]
    test = test[test.groupby("session_id")["item_id"].transform("size") >= 2]
    users = np.sort(train["user_id"].dropna().unique())
    counts: dict[str, int] = {}
    for name, part in (("train", train), ("test", test)):
        part = part.sort_values(["end", "session_id", "timestamp"], kind="stable")
        folder = output / name
        folder.mkdir(parents=True)
        starts = np.flatnonzero(part["session_id"].ne(part["session_id"].shift()).to_numpy())
        np.save(folder / "offsets.npy", np.append(starts, len(part)))
        np.save(folder / "times.npy", part["timestamp"].to_numpy())
        codes = np.searchsorted(items, part["item_id"]) + 1
        np.save(folder / "items.npy", codes.astype(np.int32))
        first = part["user_id"].to_numpy()[starts]
        place = np.minimum(np.searchsorted(users, first), max(len(users) - 1, 0))
        known = users[place] == first if len(users) else np.zeros(len(first), dtype=np.bool_)
        np.save(folder / "users.npy", np.where(known, place + 1, 0).astype(np.int32))
        counts |= {
            f"{name}_events": len(part),
            f"{name}_sessions": len(starts),
            f"{name}_items": int(part["item_id"].nunique()),
        }
    return counts


def measured(way: str, log: Path) -> dict[str, Any]:
    """Run one way in a process of its own; wall seconds and peak resident memory of the whole."""
    place = Path(tempfile.mkdtemp(prefix="nextclick-benchmark-"))
    command = [sys.executable, __file__, str(log), "--only", way, "--output", str(place / "out")]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    shutil.rmtree(place)
    if status:
        raise SystemExit(f"{way} failed with status {status}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu": cpu, "peak_bytes": peak, "counts": json.loads(told)}


def main() -> None:
    """Compare, or run one way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--only", choices=["nextclick", "pandas"])
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    if asked.only:
        prepared = with_nextclick if asked.only == "nextclick" else with_pandas
        print(json.dumps(prepared(asked.log, asked.output)))
        return
    found = {way: measured(way, asked.log) for way in ("nextclick", "pandas")}
    for way, figures in found.items():
        gib = figures["peak_bytes"] / 2**30
        print(f"{way:10} {figures['seconds']:8.1f} s {figures['cpu']:8.1f} CPU s {gib:8.2f} GiB")
        print(f"           {figures['counts']}")
    ours, theirs = found["nextclick"], found["pandas"]
    shares = {what: ours[what] / theirs[what] for what in ("seconds", "cpu", "peak_bytes")}
    print("of pandas: " + ", ".join(f"{what} {share:.2f}" for what, share in shares.items()))
    if ours["counts"] != theirs["counts"]:
        raise SystemExit("the counts differ")


if __name__ == "__main__":
    main()
