"""Opens a file of a log by its content."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from nextclick.core.object_storage import store_options
from nextclick.data.readers.containers import (
    as_log_file,
    head_of,
    is_compressed,
    open_stream,
    reject_unreadable,
)
from nextclick.data.readers.content_kinds import kind_of
from nextclick.data.readers.databases import duckdb_source, sqlite_source
from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.json_records import json_source
from nextclick.data.readers.lake_tables import lake_source
from nextclick.data.readers.list_cells import explode_cells
from nextclick.data.readers.log_file import copied_file
from nextclick.data.readers.read_errors import read_errors
from nextclick.data.readers.typed_tables import typed_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource
    from nextclick.data.readers.text_fields import Quote


def scan_file(
    path: Path | LogFile,
    *,
    separator: str | None = None,
    names: Sequence[str] | None = None,
    quote: Quote = "auto",
    records: str | None = None,
    json_records: str | None = None,
    table: str | None = None,
) -> LogSource:
    """Open a file without reading its rows; its content decides how it is read, not its name.

    Args:
        path: the file.
        separator: text between two fields, or None to detect it from the first lines.
        names: column names of a file without a header.
        quote: how quotes of text files are read.
        records: array of a JSON file whose elements are the rows, or columns of a table that hold
            lists, joined by commas.
        json_records: as `records`, for JSON files alone.
        table: table of a database, None for the only one that is a log.

    Raises:
        ConfigError: the separator is invalid.
        SourceError: the file is empty, cannot be read, is of a kind that nextclick does not read,
            or has two columns of the same name.
    """
    file = as_log_file(path)
    with read_errors(file.label):
        opener = partial(open_stream, file)
        kind = _readable_kind(file)
        if kind == "json":
            source = json_source(opener, file.label, records=records or json_records)
        elif kind == "text":
            source = text_source(opener, file.label, separator=separator, names=names, quote=quote)
        else:
            source = _open_table(file, kind, table)
    if records is not None and kind != "json":
        source = explode_cells(source, _columns_of_records(source, records))
    for name, value in file.partitions:
        if name not in source.types:
            source = source.with_column(name, pl.String(), (), pl.lit(value, pl.String))
    return source


def _columns_of_records(source: LogSource, records: str) -> list[str]:
    """Return the columns of lists; a list of structs stands for the columns of its fields."""
    names = []
    for name in records.split(","):
        fields = [column for column in source.columns if column.startswith(f"{name}.")]
        names += fields or [name]
    return names


def _readable_kind(file: LogFile) -> str:
    """Return the kind of a file by its content; an empty file is text.

    Raises:
        SourceError: the file is of a kind that cannot be read.
    """
    if file.layout != "file":
        return file.layout
    kind = kind_of(head_of(file))
    if kind in ("unreadable", "zip"):
        reject_unreadable(file)
    return "text" if kind == "empty" else kind


def _open_table(file: LogFile, kind: str, table: str | None) -> LogSource:
    """Open a file with typed columns, or a table of a database."""
    if file.layout != "file":
        return lake_source(file)
    if kind in ("parquet", "arrow") and file.url is not None and not is_compressed(file):
        scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
        options = store_options(file.url)
        return typed_source(scan(file.url, glob=False, storage_options=options), file.label)
    return _open_stored(_plain_on_disk(file), kind, table)


def _open_stored(file: LogFile, kind: str, table: str | None) -> LogSource:
    """Open a file that is read by its position, so it must be on the disk and not compressed."""
    path, label = file.path, file.label
    assert path is not None
    if kind == "sqlite":
        source = sqlite_source(path, label, table)
    elif kind == "duckdb":
        source = duckdb_source(path, label, table)
    else:
        source = typed_source(_scan(path, kind), label)
    return _holding(file, source)


def _scan(path: Path, kind: str) -> pl.LazyFrame:
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    if kind == "arrow":
        return pl.scan_ipc(path, glob=False, hive_partitioning=False)
    return pl.read_avro(path).lazy() if kind == "avro" else pl.read_ipc_stream(path).lazy()


def _holding(file: LogFile, source: LogSource) -> LogSource:
    """Return the source; a temporary copy of its file is not deleted before the source is."""

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        with file.open_stored():
            yield from source.read(columns)

    return replace(source, read=read)


def _plain_on_disk(file: LogFile) -> LogFile:
    if file.path is not None and not is_compressed(file):
        return file
    return copied_file(file.label, open_stream(file))
