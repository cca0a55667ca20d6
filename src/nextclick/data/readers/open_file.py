"""Opens a file of a log by its content."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

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
from nextclick.data.readers.lake_tables import lake_source
from nextclick.data.readers.log_file import copied_file
from nextclick.data.readers.read_errors import read_errors
from nextclick.data.readers.remote_files import store_options
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
    table: str | None = None,
) -> LogSource:
    """Open a file without reading its rows; its content decides how it is read, not its name.

    Args:
        path: the file.
        separator: text between two fields of a text file, None to detect it.
        names: column names of a text file without a header.
        quote: how the quotes of a text file are read.
        table: table of a database, None for the only one that is a log.

    Raises:
        ConfigError: the separator is invalid.
        SourceError: the file is empty, cannot be read, is of a kind that nextclick does not read,
            or has two columns of the same name.
    """
    file = as_log_file(path)
    with read_errors(file.label):
        source = _open(file, table) or text_source(
            partial(open_stream, file), file.label, separator=separator, names=names, quote=quote
        )
    for name, value in file.partitions:
        if name not in source.types:
            source = source.with_column(name, pl.String(), (), pl.lit(value, pl.String))
    return source


def _open(file: LogFile, table: str | None) -> LogSource | None:
    """Open a file of a kind other than delimited text; None if it is text."""
    if file.layout != "file":
        return lake_source(file)
    kind = kind_of(head_of(file))
    if kind in ("parquet", "arrow") and file.url is not None:
        scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
        options = store_options(file.url)
        return typed_source(scan(file.url, glob=False, storage_options=options), file.label)
    if kind in _STORED_KINDS or kind == "json":
        return _open_stored(_plain_on_disk(file), kind, table)
    reject_unreadable(file)
    return None


_STORED_KINDS = ("parquet", "arrow", "arrow stream", "avro", "sqlite", "duckdb")


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
    if kind == "json":
        return pl.scan_ndjson(path)
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
