"""Layouts of published logs of films, music, news and places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats.log_format import LogFormat
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource


def _open_aotm(file: LogFile) -> LogSource:
    """Read a JSON list of playlists; a song is `[[artist, title], song id or null]`.

    Raises:
        SourceError: the file does not have this layout.
    """
    import polars as pl

    from nextclick.data.readers.containers import open_stream
    from nextclick.data.readers.frames import scan_frame

    try:
        with open_stream(file) as stream:
            playlists = json.load(stream)
        rows = [
            (p["mix_id"], (p.get("user") or {}).get("name"), song_id, p["timestamp"])
            for p in playlists
            for _, song_id in p["playlist"]
            if song_id is not None
        ]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{file}: not the JSON of AotM-2011 (mix_id, timestamp, user, playlist): {error!r}"
        ) from error
    names = ["mix_id", "user", "song_id", "timestamp"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row", strict=False)
    return scan_frame(frame, label=file.label)


def _open_movielens(file: LogFile) -> LogSource:
    """Read `ratings.dat` with `::`, `u.data` with tabs, or `ratings.csv` with a header."""
    from nextclick.data.readers.open_file import scan_file

    if ".csv" in file.name:
        return scan_file(file, separator=",")
    separator = "\t" if ".data" in file.name else "::"
    return scan_file(file, separator=separator, names=("user", "item", "rating", "time"))


def _open_30music(file: LogFile) -> LogSource:
    """Read `event.session`, its id, its time in seconds, and two JSON objects, by tabs."""
    from nextclick.data.readers.containers import open_stream
    from nextclick.data.readers.line_rows import line_source

    columns = ("session", "user", "track", "time")
    return line_source(lambda: open_stream(file), file.label, columns, _tracks_of_line)


def _tracks_of_line(line: str) -> Iterator[tuple[str | None, ...]]:
    """Yield session, user, track and time of the tracks of a line; `playstart` is in seconds.

    Raises:
        ValueError: the line does not have this layout.
    """
    fields = line.split("\t", 3)
    if len(fields) < 4:
        raise ValueError(f"expected 4 fields or more by tabs, got {len(fields)}")
    decoder = json.JSONDecoder()
    try:
        _, end = decoder.raw_decode(fields[3])
        entities, _ = decoder.raw_decode(fields[3][end:].lstrip())
        start = int(fields[2])
        user = next((s["id"] for s in entities["subjects"] if s["type"] == "user"), None)
        for track in entities["objects"]:
            time = start + int(track.get("playstart") or 0)
            yield fields[1], None if user is None else str(user), str(track["id"]), str(time)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a session of 30Music: {error!r}") from error


def _mind_clicks(source: LogSource, read: ReadOptions) -> LogSource:
    """Return one row per clicked impression, such as `N13390-1`; the history has no times."""
    import polars as pl

    from nextclick.data.readers.list_cells import explode_cells

    del read
    clicked = (
        pl.col("impressions")
        .str.extract_all(r"\S+-1(?:\s|$)")
        .list.eval(pl.element().str.strip_chars().str.strip_suffix("-1"))
    )
    items = source.with_column("item", pl.List(pl.String()), ("impressions",), clicked)
    return explode_cells(items, ("item",))


def _lastfm_tracks(source: LogSource, read: ReadOptions) -> LogSource:
    """Add the column `item`: the id of the track, or artist and title of a track without an id."""
    import polars as pl

    del read
    names = ("track", "artist_name", "track_name")
    title = pl.concat_str("artist_name", "track_name", separator=" / ")
    item = pl.when(pl.col("track") != "").then(pl.col("track")).otherwise(title)
    return source.with_column("item", pl.String(), names, item)


MEDIA_LOGS = (
    LogFormat(
        name="movielens",
        summary="MovieLens ratings.dat (::), u.data or ratings.csv",
        suffixes=("ratings.dat", "u.data", "ratings.csv"),
        unit="s",
        open_file=_open_movielens,
    ),
    LogFormat(
        name="lastfm-1k",
        summary="Last.fm 1K users, one play per line, no header; quotes are text",
        suffixes=(".tsv",),
        separator="\t",
        names=("user", "time", "artist", "artist_name", "track", "track_name"),
        quote="none",
        columns=Columns(user="user", item="item", time="time"),
        transform=_lastfm_tracks,
    ),
    LogFormat(
        name="30music",
        summary="30Music sessions.idomaar, the tracks of a session in one line",
        suffixes=(".idomaar",),
        prefix="sessions",
        columns=Columns(session="session", user="user", item="track", time="time"),
        unit="s",
        open_file=_open_30music,
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
        name="mind",
        summary="MIND behaviors.tsv, the clicked impressions",
        prefix="behaviors",
        separator="\t",
        names=("impression", "user", "time", "history", "impressions"),
        quote="none",
        columns=Columns(user="user", item="item", time="time"),
        transform=_mind_clicks,
    ),
    LogFormat(
        name="gowalla",
        summary="Gowalla check-ins (SNAP), no header",
        separator="\t",
        names=("user", "time", "latitude", "longitude", "location"),
        quote="none",
        columns=Columns(user="user", item="location", time="time"),
    ),
    LogFormat(
        name="foursquare",
        summary="Foursquare check-ins of New York and Tokyo (TSMC 2014), no header",
        prefix="dataset_",
        separator="\t",
        names=("user", "venue", "category", "name", "latitude", "longitude", "offset", "time"),
        quote="none",
        columns=Columns(user="user", item="venue", time="time"),
    ),
)
