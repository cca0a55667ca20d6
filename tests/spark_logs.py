"""Logs for the tests of Spark, and the comparison of stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions

FEW = SplitOptions(kind="fraction", fraction=0.2)
SMALL = PrepareOptions(filters=FilterOptions(min_item_support=2), split=FEW)


def rows(seed=0, n=3_000, coarse=60):
    """A log with equal times, in an order that is not that of the times."""
    rng = np.random.default_rng(seed)
    start = 1_700_000_000
    return pl.DataFrame(
        {
            "session_id": rng.integers(0, n // 8, n),
            "user_id": rng.integers(0, n // 30, n),
            "item_id": np.minimum(rng.zipf(1.3, n), 80),
            "timestamp": start + rng.integers(0, 40_000, n) // coarse * coarse,
            "device": pl.Series(["phone", "tablet", None]).gather(rng.integers(0, 3, n)),
        }
    )


def split_files(frame, folder, n_files, suffix="csv"):
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-frame.height // n_files)
    for number in range(n_files):
        part = frame.slice(number * size, size)
        path = folder / f"part-{number:02}.{suffix}"
        if suffix == "parquet":
            part.write_parquet(path)
        elif suffix == "jsonl":
            part.write_ndjson(path)
        else:
            part.write_csv(path)
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
