"""Simulation of the click log of a shop, with a known structure.

The N items of the shop are divided into C categories, whose sizes fall as 1/√rank. The items of a
category form a ring, and items close to each other on the ring are similar. Popularity follows a
Zipf–Mandelbrot law, 1 / (rank + N/200). Each structure below has a parameter; 0 disables it.

drift
    The log-popularity of an item fluctuates from day to day with standard deviation `drift`; the
    correlation at a lag of k days is e^(−k/10). Yesterday therefore predicts today better than last
    month does. Among nearby items the more popular ones are clicked, so item transitions drift too.
new_items
    This share of the items is released after the first day. They are never clicked before their
    release. At the release they are 4.5 times as popular as later; the boost decays to 1/e in 4
    days. Equally many other items start to fade on a random day, by a factor of e^(−0.4) per day.
moves
    Every day this share of the items swaps positions within the ring of their category. Similar
    items and links then change, so the transitions of the previous day are more informative than
    those of all earlier days.
taste
    A visitor has up to four favorite categories, with stick-breaking weights, and a home position
    in every category. The category of a session is a favorite one with probability `taste`, else
    the category of an item drawn by popularity. Each target of a session is near the home with
    probability 0.6 `taste`, else drawn by popularity within the category.
purpose
    With this probability a session has a purpose: one category and three target items in it. A
    click that does not follow an earlier click is near a target with probability 0.8. Otherwise it
    is a popular item of a favorite category of the visitor (probability `taste`) or of the whole
    shop. Without a purpose it is always such a popular item.
interest
    Each click has an interest in 0..1, the sigmoid of a normal variable (σ = 3), shifted by +0.5 in
    the category of the purpose and by −0.5 in other categories. At click t of a session, click j
    has the pull interest_j² · 0.8^(t − j). "An earlier click" below is drawn by pull.
reclick
    With this probability the visitor considers an earlier click other than the latest one, and
    clicks its item again with a probability equal to its `interest`.
repeats
    If set, each click after the first returns with this probability to the item of an earlier
    click, the latest included, drawn by pull. Otherwise the click is drawn as described here until
    its item is new to the session, at most 50 times. The share of repeats is thus known. `reclick`
    then has no effect.
similarity
    Otherwise, with this probability the visitor considers the latest or an earlier click. With
    probability 0.1 + 0.9 `interest` of that click, the next item is linked to its item: an item
    near it on the ring (65 %), or its complement near a third of the ring ahead (35 %, one-way).
dwell_signal
    The time to the next click is gamma-distributed with shape 2.5 and mean
    40 s · e^(1.8 (2 interest − 1)), that is 7 s to 4 min, clipped to 0.8 s and 25 min. The interest
    is that of the click with probability `dwell_signal`, else an independent draw. A long dwell
    time thus indicates that the next clicks are close to the item or return to it.
anonymous
    This share of the sessions has no user id in the log. The clicks still follow a visitor's taste.

The session length is log-normal (σ = 0.9, 1 to 200 clicks, mean `length`). Sessions start by time
of day (minimum at 03:00 UTC, maximum at 20:00) and weekday (maximum on Sunday). Visitor v of U is
drawn with probability proportional to 1 / (v/U + 0.005). Sessions of one visitor may overlap.

The log has one row per click, sorted by time, so sessions interleave. Its columns are session_id,
user_id (null if anonymous), item_id, category (1..C) and timestamp (milliseconds since the epoch).
Item and user ids are neither dense nor sorted. The log has exactly `events` rows: the last session
of each chunk may be truncated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nextclick.core.types import silent
from nextclick.data.frame_sink import table_suffix, write_frames
from nextclick.errors import OutputError
from nextclick.simulation.daily_clicks import LogChunk, simulate_chunks
from nextclick.simulation.item_features import item_frame
from nextclick.simulation.simulation_config import SimulationConfig, validate_config

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
    "simulate_items",
]

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
    """Path and size of a simulated log.

    Attributes:
        path: the file.
        events: number of clicks.
        sessions: number of sessions.
        size: size of the file in bytes.
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
    """Write a simulated log to a file, atomically.

    The memory use is independent of the number of clicks. The same config gives the same bytes
    with the same versions of Polars and NumPy.

    Args:
        config: the parameters of the simulation.
        path: the file; the suffix is .csv, .csv.gz, .tsv, .tsv.gz or .parquet.
        overwrite: replace an existing file.
        progress: receives the number of clicks so far, with stage `simulate`.

    Raises:
        ConfigError: a parameter is out of range, or the suffix is unknown.
        OutputError: the file exists, or cannot be written.
    """
    path = Path(path)
    suffix = check_file(path, overwrite=overwrite)
    chunks = simulate_chunks(config)
    events, sessions = 0, 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal events, sessions
        for chunk in chunks:
            events, sessions = events + len(chunk), chunk.n_sessions
            progress("simulate", events, config.events)
            yield _frame(chunk)

    write_frames(frames(), SCHEMA, path, suffix)
    return SimulationSummary(path, events, sessions, path.stat().st_size)


def simulate_items(config: SimulationConfig, path: Path | str, *, overwrite: bool = False) -> int:
    """Write the item table of a simulated shop to a file, atomically; return the number of items.

    The table has a row for each item of the shop, clicked or not; see `simulation.item_features`.

    Args:
        config: the parameters of the simulation.
        path: the file, as for `simulate`.
        overwrite: replace an existing file.

    Raises:
        ConfigError: a parameter is out of range, or the suffix is unknown.
        OutputError: the file exists, or cannot be written.
    """
    path, config = Path(path), validate_config(config)
    suffix = check_file(path, overwrite=overwrite)
    frame = item_frame(config)
    write_frames(iter([frame]), frame.schema, path, suffix)
    return frame.height


def check_file(path: Path, *, overwrite: bool) -> str:
    """Check that a simulated file may be written, and return its suffix.

    Raises:
        ConfigError: the suffix is unknown.
        OutputError: the file exists.
    """
    suffix = table_suffix(path, SUFFIXES)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another path or set overwrite")
    return suffix


def simulate_frame(config: SimulationConfig) -> pl.DataFrame:
    """Return a simulated log as a data frame in memory.

    Raises:
        ConfigError: a parameter is out of range.
    """
    return pl.concat([_frame(chunk) for chunk in simulate_chunks(config)])


def _frame(chunk: LogChunk) -> pl.DataFrame:
    frame = pl.DataFrame({name: getattr(chunk, name) for name in SCHEMA}, schema=SCHEMA)
    known = pl.when(pl.col("user_id") >= 0).then("user_id")
    return frame.with_columns(known.alias("user_id"))
