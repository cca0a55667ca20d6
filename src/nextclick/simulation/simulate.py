"""A click log of a shop that does not exist, whose structure is known.

The shop: N items stand in C categories, whose sizes fall as 1/√rank. The items of a category form
a ring, and items near on it are alike. Popularity is Zipf–Mandelbrot, 1 / (rank + N/200). Each
structure below has a parameter, and 0 switches that structure off.

drift
    The logarithm of an item's popularity wanders from day to day with standard deviation `drift`;
    two days k apart correlate with e^(−k/10). So yesterday predicts today better than last month,
    and since a click goes to the more popular ones of some near items, the links between items
    wander too.
new_items
    This share of the items is released on a day after the first; before it they are never clicked,
    then they are 4.5 times as popular as later on (the boost shrinks to 1/e in 4 days). As many
    other items fade from some day on by a factor e^(−0.4) a day.
moves
    Each night this share of the items takes the places of one another on the ring of their
    category, so that other items are alike on the next day and links go elsewhere. What followed
    what yesterday then says more of today than all days before it do.
taste
    A visitor has up to four favorite categories, with weights from a stick broken at uniform
    places, and a home in every category. A session's category is a favorite one with probability
    `taste` (else that of an item drawn by today's popularity), and what it looks for is near home
    with probability 0.6 `taste` (else drawn by popularity in the category).
purpose
    With this probability a session looks for something: it has one category and three targets in
    it. A click that follows nothing before it goes near a target in four of five cases, else to a
    popular item of one of the visitor's favorite categories (probability `taste`) or of the whole
    shop. In a session without a purpose it always does the latter.
interest
    A click has an interest in 0..1, the sigmoid of a normal draw (σ = 3), shifted by +0.5 in the
    category of the purpose and by −0.5 outside. Click j of a session at click t has the pull
    interest_j² · 0.8^(t − j), and "an earlier click" below is drawn by pull.
reclick
    With this probability a visitor thinks of an earlier click other than the present one, and
    clicks its item again with probability `interest` of it.
similarity
    Otherwise, with this probability the visitor thinks of an earlier click or the present one, and
    with probability 0.1 + 0.9 `interest` of it clicks an item linked to its item: one near it on
    the ring (65 %), or near the place a third of the ring ahead, its complement (35 %, one-way).
dwell_signal
    The time to the next click is gamma with shape 2.5 and mean 40 s · e^(1.8 (2 interest − 1)), so
    from 7 s to 4 min, within 0.8 s and 25 min. The interest meant is the click's own with
    probability `dwell_signal`, else a fresh draw. So a long stay says that the next clicks stay
    close to that item or come back to it, a short one that they leave.
anonymous
    This share of the sessions is written without a visitor. The visitor is there all the same.

A session's length is log-normal (σ = 0.9, 1 to 200 clicks, mean `length`); sessions begin by time
of day (least at 03:00 UTC, most at 20:00) and day of the week (most on Sunday); visitor v of U
comes in proportion to 1 / (v/U + 0.005). Sessions of one visitor may overlap.

The log has one row per click, in the order of time, sessions interleaved. Columns: session_id,
user_id (null if anonymous), item_id, category (1..C) and timestamp (milliseconds since the epoch).
Ids of items and users are neither dense nor in any order. There are exactly `events` rows: a
session that would go beyond what a part of a day is to have is cut short.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from nextclick.core.types import silent
from nextclick.errors import ConfigError, OutputError
from nextclick.simulation.daily_clicks import LogChunk, simulate_chunks
from nextclick.simulation.simulation_config import SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Progress

__all__ = [
    "LogChunk",
    "SimulationConfig",
    "SimulationSummary",
    "simulate",
    "simulate_chunks",
    "simulate_frame",
]

ROW_GROUP = 500_000
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
SCHEMA = {
    "session_id": pl.Int64(),
    "user_id": pl.Int64(),
    "item_id": pl.Int64(),
    "category": pl.Int32(),
    "timestamp": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What was written.

    Attributes:
        path: the file.
        events: clicks in it.
        sessions: sessions in it.
        size: of the file, in bytes.
    """

    path: Path
    events: int
    sessions: int
    size: int


def simulate(
    config: SimulationConfig,
    path: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SimulationSummary:
    """Write a simulated log to a file, whole or not at all.

    Memory does not grow with the number of clicks. The same config gives the same bytes with the
    same versions of Polars and NumPy.

    Args:
        config: what to simulate.
        path: ends in .csv, .csv.gz, .tsv, .tsv.gz or .parquet.
        overwrite: replace a file that exists.
        progress: told of the clicks made so far, with stage `simulate`.

    Raises:
        ConfigError: a parameter out of its range, or an unknown suffix.
        OutputError: the file exists, or cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    chunks = simulate_chunks(config)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another path or ask to overwrite it")
    events, sessions = 0, 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal events, sessions
        for chunk in chunks:
            events, sessions = events + len(chunk), chunk.n_sessions
            progress("simulate", events, config.events)
            yield _frame(chunk)

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(frames(), partial, suffix)
        partial.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:  # the latter: a disk full of Parquet
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OutputError(f"cannot write {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return SimulationSummary(path, events, sessions, path.stat().st_size)


def simulate_frame(config: SimulationConfig) -> pl.DataFrame:
    """Return a simulated log as a frame, all of it in memory.

    Raises:
        ConfigError: a parameter out of its range.
    """
    return pl.concat([_frame(chunk) for chunk in simulate_chunks(config)])


def _frame(chunk: LogChunk) -> pl.DataFrame:
    frame = pl.DataFrame({name: getattr(chunk, name) for name in SCHEMA}, schema=SCHEMA)
    known = pl.when(pl.col("user_id") >= 0).then("user_id")
    return frame.with_columns(known.alias("user_id"))


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise ConfigError(
        f"{path}: a simulated log cannot be written in this format; "
        f"let the name end in {', '.join(SUFFIXES)}"
    )


def _write(frames: Iterator[pl.DataFrame], target: Path, suffix: str) -> None:
    """Stream frames to a file; Polars asks for the next when there is room for it."""

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del with_columns, predicate, n_rows, batch_size  # a sink of everything asks for nothing
        return frames

    log = register_io_source(source, schema=SCHEMA)
    if suffix == ".parquet":
        log.sink_parquet(target, row_group_size=ROW_GROUP, sync_on_close="all")
        return
    options: dict[str, Any] = {"separator": "\t" if suffix.startswith(".tsv") else ","}
    if suffix.endswith(".gz"):
        options |= {"compression": "gzip", "check_extension": False}
    log.sink_csv(target, sync_on_close="all", **options)
