"""Opens tables in memory as sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from nextclick.data.readers.columns import check_unique
from nextclick.data.readers.sources import LogSource, lazy_source
from nextclick.errors import SourceError


def is_frame(source: Any) -> bool:
    """Return whether a source is a table in memory and not a path."""
    return not isinstance(source, str | Path)


def scan_frame(frame: Any, label: str = "frame") -> LogSource:
    """Open a Polars or pandas frame.

    Raises:
        SourceError: the object is not a frame, or cannot be read.
    """
    if isinstance(frame, pl.DataFrame):
        frame = frame.lazy()
    elif not isinstance(frame, pl.LazyFrame):
        frame = _from_pandas(frame).lazy()
    try:
        return lazy_source(frame, label)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{label}: cannot be read: {error}") from error


def _from_pandas(frame: Any) -> pl.DataFrame:
    if type(frame).__module__.partition(".")[0] != "pandas":
        raise SourceError(
            f"a log must be a path, a Polars frame or a pandas frame, got {type(frame).__name__}"
        )
    check_unique([str(name) for name in frame.columns], "frame")
    return pl.DataFrame({str(name): _from_pandas_column(frame[name]) for name in frame.columns})


def _from_pandas_column(column: Any) -> pl.Series:
    """Convert a column without pyarrow; values of Python objects become text."""
    values = column.to_numpy()
    if values.dtype != object:
        return pl.Series(values, nan_to_null=True)
    missing = column.isna().to_numpy()
    return pl.Series(
        [None if null else str(value) for value, null in zip(values, missing, strict=True)],
        dtype=pl.String,
    )
