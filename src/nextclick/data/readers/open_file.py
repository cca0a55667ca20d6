"""Opens a file of a log by its kind."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.json_records import json_source
from nextclick.data.readers.json_values import is_json
from nextclick.data.readers.list_cells import explode_cells
from nextclick.data.readers.sources import lazy_source
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.data.readers.sources import LogSource
    from nextclick.data.readers.text_fields import Quote


def scan_file(
    path: Path,
    *,
    separator: str | None = None,
    names: Sequence[str] | None = None,
    quote: Quote = "auto",
    records: str | None = None,
    json_records: str | None = None,
) -> LogSource:
    """Open a CSV, TSV, JSON-lines or Parquet file without reading its rows.

    Args:
        path: the file; a name that ends in .gz is decompressed while it is read.
        separator: text between two fields, or None to detect it from the first lines.
        names: column names of a file without a header.
        quote: how quotes of text files are read.
        records: array of a JSON file whose elements are the rows, or columns of a table that hold
            lists, joined by commas.
        json_records: as `records`, for JSON files alone.

    Raises:
        ConfigError: the separator is invalid.
        SourceError: the file is empty, is not UTF-8 text, cannot be read, or has two columns of the
            same name.
    """
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty; expected a header and one row per click")
    name = path.name.lower()
    try:
        if _is_json(path):
            return json_source(lambda: open_bytes(path), str(path), records=records or json_records)
        if name.endswith(".parquet"):
            source = lazy_source(pl.scan_parquet(path), str(path))
        else:
            source = text_source(
                lambda: open_bytes(path), str(path), separator=separator, names=names, quote=quote
            )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    return source if records is None else explode_cells(source, records.split(","))


def _is_json(path: Path) -> bool:
    with open_bytes(path) as file:
        return is_json(file.read(1 << 16))


def open_bytes(path: Path) -> BinaryIO:
    """Open the decompressed bytes of a file."""
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    file: BinaryIO = opener(path, "rb")
    return file
