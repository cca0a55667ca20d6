"""Opens a file of a log by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.sources import lazy_source
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.data.readers.sources import LogSource


def scan_file(
    path: Path, *, separator: str | None = None, names: Sequence[str] | None = None
) -> LogSource:
    """Open a CSV, TSV, JSON-lines or Parquet file without reading its rows.

    Args:
        path: the file; a name that ends in .gz is decompressed while it is read.
        separator: one character, or None to detect it from the first line.
        names: column names of a file without a header.

    Raises:
        ConfigError: the separator is not one character.
        SourceError: the file is empty, is not UTF-8 text, cannot be read, or has two columns of the
            same name.
    """
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty; expected a header and one row per click")
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return lazy_source(pl.scan_parquet(path), str(path))
        if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
            return lazy_source(pl.scan_ndjson(path), str(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    return text_source(path, separator=separator, names=names)
