"""Segments of the event log of a server: conversion to Parquet, and reading for a refresh.

`python -m nextclick.data.event_segments FOLDER` converts the segments that no server writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from nextclick.core.storage import sync_path
from nextclick.data.options import PrepareOptions, ReadOptions, SessionOptions
from nextclick.data.readers.columns import Columns
from nextclick.errors import SourceError

SCHEMA: dict[str, pl.DataType] = {
    "request": pl.String(),
    "time": pl.Int64(),
    "session": pl.String(),
    "user": pl.String(),
    "model": pl.String(),
    "version": pl.String(),
    "item": pl.String(),
    "items": pl.List(pl.String),
    "propensity": pl.List(pl.Float64),
    "arm": pl.String(),
    "received": pl.Int64(),
}
OPTIONAL = ("propensity", "arm", "received")  # columns that earlier versions did not write
_CLICK = ["request", "time", "session", "user", "item"]  # what a refresh reads
_HOUR = "%Y-%m-%dT%H"
HOUR_MS = 3_600_000


def convert_segments(folder: Path) -> list[Path]:
    """Convert all segments that nobody writes; return the Parquet files.

    A segment is deleted after its Parquet file is on disk. A process that is killed in between
    leaves both, and the segment is then deleted by the next conversion.
    """
    converted = []
    for segment in sorted(folder.glob("*.jsonl")):
        handle = os.open(segment, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if segment.exists():  # another process may have converted it
                converted.append(_convert(segment))
        except BlockingIOError:
            continue  # a server writes it, or another process converts it
        finally:
            os.close(handle)
    return converted


def read_event_log(folder: Path, since_ms: int) -> pl.DataFrame:
    """The clicks of live sessions in an event log.

    Args:
        folder: the folder of `serve --event-log`.
        since_ms: time of the last click that is not needed, milliseconds since the epoch; the files
            of earlier hours are not read.

    Returns:
        A frame with the columns session, item, time (milliseconds) and, if any click has one, user.

    Raises:
        SourceError: there is no such click, or a file cannot be read.
    """
    frames = [_read(file) for file in segment_files(folder) if _end_ms(file) > since_ms]
    events = pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)
    clicks = events.filter(pl.col("session").is_not_null(), pl.col("time") > since_ms)
    if clicks.is_empty():
        since = datetime.fromtimestamp(since_ms / 1000, UTC)
        raise SourceError(
            f"{folder} has no click of a live session after {since:%Y-%m-%dT%H:%M:%S}, the last "
            "click of the artifact; refresh when there are new clicks"
        )
    columns = ["session", "item", "time", *(["user"] if clicks["user"].count() else [])]
    return clicks.unique("request", maintain_order=True).select(columns)


def event_options(options: PrepareOptions) -> PrepareOptions:
    """The options of a store, for the columns of an event log."""
    sessions = SessionOptions(
        block_days=options.sessions.block_days,
        block_timezone=options.sessions.block_timezone,
        block_hour=options.sessions.block_hour,
    )
    read = ReadOptions(
        columns=Columns(session="session", item="item", time="time", user=None),
        unit="ms",
        missing=options.read.missing,
    )
    return replace(options, read=read, sessions=sessions)


def segment_files(folder: Path) -> list[Path]:
    """The Parquet files, and the segments that are not converted.

    Raises:
        SourceError: there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not the folder of an event log; name that of `serve --event-log`"
        )
    parquet = {file.stem: file for file in folder.glob("*.parquet")}
    segments = (file for file in folder.glob("*.jsonl") if not file.name.startswith("."))
    open_segments = {file.stem: file for file in segments}
    return [file for _, file in sorted((open_segments | parquet).items())]


def hour_start_ms(file: Path) -> int | None:
    """The start of the hour in the name of a file, in milliseconds; None without an hour."""
    try:
        start = datetime.strptime(file.name[:13], _HOUR).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(start.timestamp() * 1000)


def _end_ms(file: Path) -> float:
    """The latest time of a click that was written to a file; clicks may be a day ahead."""
    start = hour_start_ms(file)
    return float("inf") if start is None else start + HOUR_MS + 24 * HOUR_MS


def _read(file: Path) -> pl.DataFrame:
    try:
        if file.suffix == ".parquet":
            return pl.read_parquet(file, columns=_CLICK)
        return _parse(file).select(_CLICK) if file.exists() else _read(file.with_suffix(".parquet"))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise SourceError(
            f"{file}: not a file of an event log: {error}; remove it, or restore it from a copy"
        ) from error


def with_all_columns(events: pl.DataFrame) -> pl.DataFrame:
    """Events with null in the columns that an earlier version did not write."""
    missing = [name for name in OPTIONAL if name not in events.columns]
    nulls = [pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in missing]
    return events.with_columns(nulls).select(list(SCHEMA))


def _parse(segment: Path) -> pl.DataFrame:
    """The complete lines of a segment; a killed process may leave a part of the last one."""
    content = segment.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return pl.DataFrame([as_text(json.loads(line)) for line in lines], schema=SCHEMA)


def as_text(event: dict[str, Any]) -> dict[str, Any]:
    """An event whose ids are text."""
    texts = {name: _text(event[name]) for name in ("item", "user", "session")}
    return {**event, **texts, "items": [_text(item) for item in event["items"]]}


def _text(raw: object) -> str | None:
    return None if raw is None else str(raw)


def _convert(segment: Path) -> Path:
    target, scratch = segment.with_suffix(".parquet"), segment.with_suffix(".part")
    if not target.exists():
        _parse(segment).write_parquet(scratch)
        scratch.chmod(0o600)
        sync_path(scratch)
        scratch.rename(target)
        sync_path(target.parent)
    segment.unlink()
    return target


if __name__ == "__main__":
    os.nice(10)
    convert_segments(Path(sys.argv[1]))
