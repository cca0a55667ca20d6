"""Logs as their publishers ship them, by name.

A dialect says how to read the files; everything after is the same for all. Layouts are those of
the publishers' own descriptions; `aotm` is written from its description alone and was not tried
on the original file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.columns import Columns, Order
from nextclick.data.readers.sources import (
    ROW,
    TABLE_SUFFIXES,
    LogSource,
    find_files,
    scan_file,
    scan_frame,
)
from nextclick.errors import ConfigError, SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How one publisher writes a log.

    Attributes:
        name: as typed after `--format`.
        summary: one line for people.
        suffixes: which files of a folder belong to it.
        stem: how the names of those files begin.
        separator: between fields, None to find it.
        names: the columns of files without a header.
        columns: which column holds what.
        unit: of the times, None to find it.
        events: the event types that are clicks, None for all.
        open: reads one file that is not a plain table.
        shape: changes a table before anything else looks at it.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...] = TABLE_SUFFIXES
    stem: str = ""
    separator: str | None = None
    names: tuple[str, ...] | None = None
    columns: Columns = field(default_factory=Columns)
    unit: str | None = None
    events: tuple[str, ...] | None = None
    open: Callable[[Path], LogSource] | None = None
    shape: Callable[[LogSource, Order], LogSource] | None = None

    def sources(
        self, paths: Iterable[str | Path], *, separator: str | None, order: Order
    ) -> list[LogSource]:
        """Open every file behind `paths`."""
        files = find_files(paths, self.suffixes)
        mine = [file for file in files if file.name.startswith(self.stem)]
        opened = [self._open(file, separator) for file in mine or files]
        return [self.shape(source, order) if self.shape else source for source in opened]

    def _open(self, path: Path, separator: str | None) -> LogSource:
        if self.open is not None:
            return self.open(path)
        return scan_file(path, separator=separator or self.separator, names=self.names)


def dialect(name: str) -> LogFormat:
    """Return a dialect by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in LOG_FORMATS:
        raise ConfigError(f"there is no log format {name!r}: {nearest(name, LOG_FORMATS)}")
    return LOG_FORMATS[name]


def _with(source: LogSource, table: pl.LazyFrame, *columns: str) -> LogSource:
    return replace(source, table=table, columns=(*source.columns, *columns))


def _shape_diginetica(source: LogSource, order: Order) -> LogSource:
    """`eventdate` is a day, `timeframe` the milliseconds since the session's first query.

    NARM and STAMP ordered by the day alone, so that clicks of a day stay in file order:
    `order="file"`. A timeframe never leads out of its day, for the split is by day.
    """
    missing = {"sessionId", "itemId", "timeframe", "eventdate"} - set(source.columns)
    if missing:
        raise SourceError(
            f"{source.label}: no column {', '.join(sorted(missing))}; "
            "expected train-item-views.csv of Diginetica"
        )
    day = pl.col("eventdate").str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    time = day.to_physical()
    if order == "time":
        time = time + pl.col("timeframe").cast(pl.Int64, strict=False).clip(0, 86_399_999)
    return _with(source, source.table.with_columns(time=time), "time")


def _open_otto(path: Path) -> LogSource:
    """One line a session: `{"session": 1, "events": [{"aid": 2, "ts": 3, "type": "clicks"}]}`."""
    event = pl.Struct({"aid": pl.Int64, "ts": pl.Int64, "type": pl.String})
    schema: pl.Schema = pl.Schema({"session": pl.Int64(), "events": pl.List(event)})
    lines = pl.scan_ndjson(path, schema=schema, row_index_name=ROW)
    table = lines.explode("events").unnest("events")
    return LogSource(str(path), table, ("session", "aid", "ts", "type"), first_line=1)


def _open_aotm(path: Path) -> LogSource:
    """A JSON list of playlists, whose songs are `[[artist, title], song id or null]`."""
    try:
        playlists = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (p["mix_id"], (p.get("user") or {}).get("name"), song_id, p["timestamp"])
            for p in playlists
            for _, song_id in p["playlist"]
            if song_id is not None
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path}: not the JSON of AotM-2011 (mix_id, timestamp, user, playlist): {error!r}"
        ) from error
    names = ["mix_id", "user", "song_id", "timestamp"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row", strict=False)
    return scan_frame(frame, label=str(path))


def _open_movielens(path: Path) -> LogSource:
    """`ratings.dat` with `::`, `u.data` with tabs, or `ratings.csv` with a header."""
    if path.suffix == ".csv":
        return scan_file(path, separator=",")
    if path.suffix == ".dat":
        # a separator has one character: the second colon makes an empty column
        names = ("user", "_1", "item", "_2", "rating", "_3", "time")
        return scan_file(path, separator=":", names=names)
    return scan_file(path, separator="\t", names=("user", "item", "rating", "time"))


def _shape_recbole(source: LogSource, order: Order) -> LogSource:
    """Names carry their type (`user_id:token`); the type is dropped."""
    del order
    plain = {name: name.partition(":")[0] for name in source.columns}
    return replace(source, table=source.table.rename(plain), columns=tuple(plain.values()))


_USER_BEHAVIOR = LogFormat(
    name="taobao",
    summary="Tianchi/Taobao UserBehavior.csv: no header, clicks are pv",
    names=("user", "item", "category", "behavior", "time"),
    separator=",",
    columns=Columns(user="user", item="item", time="time", event="behavior"),
    unit="s",
    events=("pv",),
)

LOG_FORMATS: dict[str, LogFormat] = {
    d.name: d
    for d in (
        LogFormat(
            name="table",
            summary="any CSV, TSV, JSON lines or Parquet with a header (the default)",
        ),
        LogFormat(
            name="yoochoose",
            summary="RecSys Challenge 2015, yoochoose-clicks.dat, no header",
            stem="yoochoose-clicks",
            separator=",",
            names=("session", "time", "item", "category"),
            columns=Columns(session="session", item="item", time="time"),
            unit="iso",
        ),
        LogFormat(
            name="diginetica",
            summary="CIKM Cup 2016, train-item-views.csv, day and timeframe",
            stem="train-item-views",
            separator=";",
            columns=Columns(session="sessionId", user="userId", item="itemId", time="time"),
            unit="ms",
            shape=_shape_diginetica,
        ),
        LogFormat(
            name="retailrocket",
            summary="Retailrocket events.csv, clicks are view",
            stem="events",
            separator=",",
            columns=Columns(user="visitorid", item="itemid", time="timestamp", event="event"),
            unit="ms",
            events=("view",),
        ),
        LogFormat(
            name="movielens",
            summary="MovieLens ratings.dat (::), u.data or ratings.csv",
            suffixes=("ratings.dat", "u.data", "ratings.csv"),
            unit="s",
            open=_open_movielens,
        ),
        _USER_BEHAVIOR,
        replace(_USER_BEHAVIOR, name="tianchi"),
        LogFormat(
            name="otto",
            summary="OTTO, JSON lines of sessions, clicks are clicks",
            suffixes=(".jsonl",),
            columns=Columns(session="session", item="aid", time="ts", event="type"),
            unit="ms",
            events=("clicks",),
            open=_open_otto,
        ),
        LogFormat(
            name="globo",
            summary="Globo.com, a folder of hourly CSV files",
            stem="clicks",
            separator=",",
            columns=Columns(
                session="session_id",
                user="user_id",
                item="click_article_id",
                time="click_timestamp",
            ),
            unit="ms",
        ),
        LogFormat(
            name="aotm",
            summary="Art of the Mix 2011, JSON of playlists, songs that have an id",
            suffixes=(".json",),
            columns=Columns(session="mix_id", user="user", item="song_id", time="timestamp"),
            unit="iso",
            open=_open_aotm,
        ),
        LogFormat(
            name="recbole",
            summary="RecBole atomic files (.inter), names with types",
            suffixes=(".inter",),
            separator="\t",
            shape=_shape_recbole,
        ),
        LogFormat(
            name="srgnn",
            summary="the pre-split pickles all_train_seq.txt and test.txt of SR-GNN",
            suffixes=(".txt",),
        ),
    )
}


def is_frame(source: Any) -> bool:
    """Whether a source is a table in memory rather than a path."""
    return not isinstance(source, str | Path)
