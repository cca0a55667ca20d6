"""Reads the events of an event log for an online report: lists that were shown, and clicks.

Unlike a refresh, a report does not stop at damage: a damaged file or record is skipped and counted.
The segment of the running hour is read as far as it is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.event_segments import (
    HOUR_MS,
    SCHEMA,
    as_text,
    hour_start_ms,
    segment_files,
    with_all_columns,
)
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class ReadCounts:
    """What was read of an event log, and what was not.

    Attributes:
        files: files that were read.
        damaged_files: name of a file that could not be read to the reason.
        records: intact records in the period, without duplicates.
        damaged_records: records that are not JSON, or lack a field, or have a value of another
            type or a propensity outside 0..1.
        unfinished_records: last lines that are being written, or were when a server was killed.
        duplicates: further records of the same request.
        skewed: records whose click has a time that differs from the clock of the server by more
            than the limit; the clock of the server is used.
    """

    files: int = 0
    damaged_files: dict[str, str] = field(default_factory=dict)
    records: int = 0
    damaged_records: int = 0
    unfinished_records: int = 0
    duplicates: int = 0
    skewed: int = 0


def read_online_events(
    folder: Path,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    max_skew_ms: int = 300_000,
) -> tuple[pl.DataFrame, ReadCounts]:
    """Read the events of a period.

    Args:
        folder: the folder of `serve --event-log`.
        since_ms: start of the period in milliseconds since the epoch, or None.
        until_ms: its end, exclusive, or None.
        max_skew_ms: difference of the time of a click from the clock of the server up to which
            neither is counted as wrong.

    Returns:
        The columns of an event log, `moment` (milliseconds since the epoch by the clock of the
        server; of a record without `received` the time of the click, limited to the hour of its
        file) and `order` (position in the log); and the counts.

    Raises:
        SourceError: the folder is not that of an event log, or has no intact record of the period.
    """
    files = segment_files(folder)
    counts = ReadCounts()
    frames = []
    for file in files:
        start = hour_start_ms(file)
        if start is not None and (
            (until_ms is not None and start >= until_ms + HOUR_MS)
            or (since_ms is not None and start + 2 * HOUR_MS <= since_ms)
        ):
            continue
        events = _read(file, counts)
        if events is not None:
            frames.append(_with_moment(_intact(events, counts), start, max_skew_ms))
    events = pl.concat(frames) if frames else _with_moment(pl.DataFrame(schema=SCHEMA), None, 0)
    events = events.filter(
        pl.lit(True) if since_ms is None else pl.col("moment") >= since_ms,
        pl.lit(True) if until_ms is None else pl.col("moment") < until_ms,
    )
    n_all = len(events)
    events = events.unique("request", keep="first", maintain_order=True).with_row_index("order")
    counts.records, counts.duplicates = len(events), n_all - len(events)
    counts.skewed = int(events["skewed"].sum())
    if events.is_empty():
        raise SourceError(
            f"{folder} has no intact record of the period in {len(files)} files, of which "
            f"{len(counts.damaged_files)} are damaged; name the folder of `serve --event-log`, or "
            "another period"
        )
    return events.drop("skewed"), counts


def _read(file: Path, counts: ReadCounts) -> pl.DataFrame | None:
    """The records of a file; None if it is damaged."""
    try:
        if file.suffix == ".jsonl":
            try:
                events = _parse(file.read_bytes(), counts)
            except FileNotFoundError:  # it was converted meanwhile
                events = with_all_columns(pl.read_parquet(file.with_suffix(".parquet")))
        else:
            events = with_all_columns(pl.read_parquet(file))
        events = events.cast(dict(SCHEMA))  # type: ignore[arg-type]
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        counts.damaged_files[file.name] = str(error).partition("\n")[0]
        return None
    counts.files += 1
    return events


def _parse(content: bytes, counts: ReadCounts) -> pl.DataFrame:
    end = content.rfind(b"\n") + 1
    counts.unfinished_records += end < len(content)
    records = []
    for line in content[:end].splitlines():
        try:
            records.append(_checked(as_text(json.loads(line))))
        except (ValueError, TypeError, KeyError, RecursionError):
            counts.damaged_records += 1
    return pl.DataFrame(records, schema=SCHEMA)


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the fields of an event log.

    Raises:
        TypeError: a value is of another type.
    """
    times = (record["time"], record.get("received"))
    texts = (record["request"], record["model"], record["version"], record.get("arm") or "")
    propensity = record.get("propensity")
    if (
        not all(isinstance(value, str) for value in texts)
        or not all(type(value) is int for value in times if value is not None)
        or not (propensity is None or isinstance(propensity, list))
        or not all(type(value) in (int, float) for value in propensity or ())
    ):
        raise TypeError("a value is of another type")
    return {name: record.get(name) for name in SCHEMA}


def _intact(events: pl.DataFrame, counts: ReadCounts) -> pl.DataFrame:
    """The records without a missing value or a propensity that is no probability."""
    needed = ("request", "time", "model", "version", "items")
    weights = pl.col("propensity")
    within = weights.list.eval((pl.element() > 0) & (pl.element() <= 1)).list.all()
    intact = events.filter(
        pl.all_horizontal(pl.col(name).is_not_null() for name in needed),
        pl.col("items").list.eval(pl.element().is_not_null()).list.all(),
        weights.is_null()
        | (
            (weights.list.len() == pl.col("items").list.len())
            & within
            & weights.list.eval(pl.element().is_not_null()).list.all()
        ),
    )
    counts.damaged_records += len(events) - len(intact)
    return intact


def _with_moment(events: pl.DataFrame, hour_ms: int | None, max_skew_ms: int) -> pl.DataFrame:
    time = pl.col("time")
    limited = time if hour_ms is None else time.clip(hour_ms, hour_ms + HOUR_MS - 1)
    reference = pl.coalesce("received", limited)
    return events.with_columns(
        moment=pl.when(pl.col("received").is_null() & ((time - limited).abs() <= max_skew_ms))
        .then(time)
        .otherwise(reference),
        skewed=(time - reference).abs() > max_skew_ms,
    )
