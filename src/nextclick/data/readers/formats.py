"""Log formats of public datasets, by name.

A log format is an entry of `LOG_FORMATS`: it describes how the files of a dataset are read. All
later steps are the same for every format. The command line lists the formats in its help, so this
module imports Polars only when it opens a file.

The layouts follow the descriptions of the publishers. `aotm` is written from its description alone
and is not tested on the original file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns, Order
from nextclick.errors import ConfigError, SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource

TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".dat", ".inter"),
    *(".jsonl", ".ndjson", ".json"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows", ".avro"),
    *(".sqlite", ".sqlite3", ".db", ".duckdb"),
)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """The layout of the files of a dataset.

    Attributes:
        name: value of `--format`.
        summary: one line for help texts.
        suffixes: suffixes of the files to read from a folder.
        prefix: prefix of the names of these files.
        separator: field separator, None to detect it.
        names: column names of files without a header.
        columns: the column of each role.
        unit: unit of the times, None to detect it.
        events: event types that count as clicks, None for all.
        open_file: opens a file that is not a plain table.
        transform: converts an opened table to one row per click with the columns of `columns`.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...] = TABLE_SUFFIXES
    prefix: str = ""
    separator: str | None = None
    names: tuple[str, ...] | None = None
    columns: Columns = field(default_factory=Columns)
    unit: str | None = None
    events: tuple[str, ...] | None = None
    open_file: Callable[[LogFile], LogSource] | None = None
    transform: Callable[[LogSource, Order], LogSource] | None = None

    def sources(self, paths: Iterable[str | Path], read: ReadOptions) -> list[LogSource]:
        """Open the files behind `paths`.

        Files whose names have the prefix are preferred; without one, all files are opened.
        """
        from nextclick.data.readers.log_files import find_files, skip_empty

        files = find_files(paths, self.suffixes)
        with_prefix = [file for file in files if file.name.startswith(self.prefix)]
        files, notes = skip_empty(with_prefix or files)
        sources = [self._open(file, read) for file in files]
        sources[0] = replace(sources[0], notes=(*notes, *sources[0].notes))
        if self.transform is None:
            return sources
        return [self.transform(source, read.order) for source in sources]

    def _open(self, file: LogFile, read: ReadOptions) -> LogSource:
        from nextclick.data.readers.open_file import scan_file

        if self.open_file is not None:
            return self.open_file(file)
        return scan_file(
            file,
            separator=read.separator or self.separator,
            names=read.names or self.names,
            quote=read.quote,
            table=read.table,
        )


def get_log_format(name: str) -> LogFormat:
    """Return a log format by name.

    Raises:
        ConfigError: no such format.
    """
    if name not in LOG_FORMATS:
        raise ConfigError(f"there is no log format {name!r}: {nearest(name, LOG_FORMATS)}")
    return LOG_FORMATS[name]


def _diginetica_times(source: LogSource, order: Order) -> LogSource:
    """Add the column `time`: the day `eventdate` plus `timeframe`, milliseconds in the session.

    With order="file", the time is the day alone and clicks of a day keep the order of the file, as
    in NARM and STAMP. The timeframe is clipped to the day, because the split is by day.

    Raises:
        SourceError: a column of the format is missing.
    """
    import polars as pl

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
    return source.with_column("time", pl.Int64(), ("eventdate", "timeframe"), time)


def _open_otto(path: LogFile) -> LogSource:
    """Read one session per line: its id, and events with `aid`, `ts` in milliseconds and `type`."""
    import polars as pl

    from nextclick.data.readers.sources import lazy_source

    event = pl.Struct({"aid": pl.Int64, "ts": pl.Int64, "type": pl.String})
    schema: pl.Schema = pl.Schema({"session": pl.Int64(), "events": pl.List(event)})
    lines = pl.scan_ndjson(str(path), schema=schema)
    return lazy_source(lines.explode("events").unnest("events"), str(path))


def _open_aotm(path: LogFile) -> LogSource:
    """Read a JSON list of playlists; a song is `[[artist, title], song id or null]`.

    Raises:
        SourceError: the file does not have this layout.
    """
    import polars as pl

    from nextclick.data.readers.frames import scan_frame

    try:
        playlists = json.loads(Path(str(path)).read_text(encoding="utf-8"))
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


def _open_movielens(path: LogFile) -> LogSource:
    """Read `ratings.dat` with `::`, `u.data` with tabs, or `ratings.csv` with a header."""
    from nextclick.data.readers.open_file import scan_file

    if path.suffix == ".csv":
        return scan_file(path, separator=",")
    if path.suffix == ".dat":
        # a separator has one character, so the second colon starts an empty column
        names = ("user", "_1", "item", "_2", "rating", "_3", "time")
        return scan_file(path, separator=":", names=names)
    return scan_file(path, separator="\t", names=("user", "item", "rating", "time"))


def _untyped_columns(source: LogSource, order: Order) -> LogSource:
    """Rename the columns without their type: `user_id:token` becomes `user_id`."""
    del order
    return source.rename({name: name.partition(":")[0] for name in source.columns})


_USER_BEHAVIOR = LogFormat(
    name="taobao",
    summary="Tianchi/Taobao UserBehavior.csv, no header, event type pv",
    names=("user", "item", "category", "behavior", "time"),
    separator=",",
    columns=Columns(user="user", item="item", time="time", event="behavior"),
    unit="s",
    events=("pv",),
)

LOG_FORMATS: dict[str, LogFormat] = {
    log_format.name: log_format
    for log_format in (
        LogFormat(
            name="table",
            summary="any CSV, TSV, JSON lines or Parquet with a header (the default)",
        ),
        LogFormat(
            name="yoochoose",
            summary="RecSys Challenge 2015, yoochoose-clicks.dat, no header",
            prefix="yoochoose-clicks",
            separator=",",
            names=("session", "time", "item", "category"),
            columns=Columns(session="session", item="item", time="time"),
            unit="iso",
        ),
        LogFormat(
            name="diginetica",
            summary="CIKM Cup 2016, train-item-views.csv, day and timeframe",
            prefix="train-item-views",
            separator=";",
            columns=Columns(session="sessionId", user="userId", item="itemId", time="time"),
            unit="ms",
            transform=_diginetica_times,
        ),
        LogFormat(
            name="retailrocket",
            summary="Retailrocket events.csv, event type view",
            prefix="events",
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
            open_file=_open_movielens,
        ),
        _USER_BEHAVIOR,
        replace(_USER_BEHAVIOR, name="tianchi"),
        LogFormat(
            name="otto",
            summary="OTTO, one session per JSON line, event type clicks",
            suffixes=(".jsonl",),
            columns=Columns(session="session", item="aid", time="ts", event="type"),
            unit="ms",
            events=("clicks",),
            open_file=_open_otto,
        ),
        LogFormat(
            name="globo",
            summary="Globo.com, a folder of hourly CSV files",
            prefix="clicks",
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
            summary="Art of the Mix 2011, JSON of playlists, songs with an id",
            suffixes=(".json",),
            columns=Columns(session="mix_id", user="user", item="song_id", time="timestamp"),
            unit="iso",
            open_file=_open_aotm,
        ),
        LogFormat(
            name="recbole",
            summary="RecBole atomic files (.inter), typed column names",
            suffixes=(".inter",),
            separator="\t",
            transform=_untyped_columns,
        ),
        LogFormat(
            name="srgnn",
            summary="the pre-split pickles all_train_seq.txt and test.txt of SR-GNN",
            suffixes=(".txt",),
        ),
    )
}
