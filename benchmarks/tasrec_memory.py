"""Measure the memory of TASRec's item graphs in training against the number of days.

    pip install 'nextclick[neural]'
    python benchmarks/tasrec_memory.py

The log is that of `drift.py` with a constant number of clicks a day. The table has, for each number
of days, the bytes of the graphs of all days, and the bytes that remain in memory while batches read
the graphs in random order. The last column is the time to read the graph of a batch. Weights and
log are not counted.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from dataclasses import fields

import numpy as np

from drift import Ring
from nextclick.core.sessions import MS_PER_DAY, Sessions
from nextclick.graphs.daily_graphs import DailyGraphs

BATCHES = 2_000


def sessions_of(ring: Ring) -> Sessions:
    """The log with its days as blocks."""
    clicks = ring.log().sort("timestamp")
    by_session = clicks.group_by("session_id", maintain_order=True).agg("item_id", "timestamp")
    ends = np.array([times[-1] for times in by_session["timestamp"].to_list()])
    order = np.argsort(ends, kind="stable")
    items = by_session["item_id"].to_list()
    sessions = Sessions.from_lists([[item + 1 for item in items[s]] for s in order], ring.items)
    blocks = (ends[order] - ends.min()) // MS_PER_DAY
    return Sessions(sessions.items, sessions.offsets, ring.items, blocks=blocks.astype(np.int32))


def main() -> None:
    """Build the graphs, read them in random order, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--events", type=int, default=20_000, help="clicks a day")
    parser.add_argument("--items", type=int, default=20_000)
    options = parser.parse_args()
    print("| days | graphs of all days, bytes | kept in memory, bytes | file, bytes | µs a batch |")
    print("|---|---|---|---|---|", flush=True)
    DailyGraphs.from_sessions(sessions_of(Ring(events=200, items=20, days=2)))  # compiles
    for days in options.days:
        ring = Ring(events=options.events * days, items=options.items, days=days)
        sessions = sessions_of(ring)
        gc.collect()
        tracemalloc.start()
        graphs = DailyGraphs.from_sessions(sessions).neighbors_before
        blocks = np.random.default_rng(0).choice(list(graphs), BATCHES)
        start = time.perf_counter()
        for block in blocks.tolist():
            _ = graphs[block]
        seconds = (time.perf_counter() - start) / BATCHES
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        every = sum(
            getattr(graph, field.name).nbytes
            for graph in graphs.values()
            for field in fields(graph)
        )
        print(
            f"| {days} | {every:,} | {kept:,} | {graphs.n_bytes:,} | {1e6 * seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
