"""Opens tables in memory as sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from nextclick.data.readers.columns import check_unique
from nextclick.data.readers.databases import relation_source
from nextclick.data.readers.pandas_frames import from_pandas
from nextclick.data.readers.read_errors import read_errors
from nextclick.data.readers.typed_tables import typed_source
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from nextclick.data.readers.sources import LogSource

_EXPECTED = (
    "a log must be a path, an address, a frame of Polars or pandas, a table of Arrow or DuckDB, "
    "a dict of columns or a list of rows"
)


@runtime_checkable
class ArrowStream(Protocol):
    """A table that other libraries can read through the C stream interface of Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def is_frame(source: Any) -> bool:
    """Return whether a source is a table in memory and not a path."""
    return not isinstance(source, str | Path)


def as_sources(sources: Any) -> list[Any]:
    """Return a single source or several sources as a list; a list of rows is a single source.

    Raises:
        ConfigError: there is no source.
    """
    if isinstance(sources, Iterator) and not isinstance(sources, ArrowStream):
        sources = list(sources)
    is_single = isinstance(sources, str | bytes | Path) or not isinstance(sources, Sequence)
    listed = [sources] if is_single or _are_rows(sources) else list(sources)
    if not listed:
        raise ConfigError("sources: expected at least one file, folder, glob or frame, got none")
    return listed


def scan_frame(frame: Any, label: str = "frame") -> LogSource:
    """Open a table in memory.

    Raises:
        SourceError: the object is not a table, or cannot be read.
    """
    with read_errors(label):
        if isinstance(frame, pl.LazyFrame):
            return typed_source(frame, label)
        if _module(frame) in ("duckdb", "_duckdb"):
            return relation_source(frame, label)
        return typed_source(_as_polars(frame, label).lazy(), label)


def _as_polars(frame: Any, label: str) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    if _module(frame) == "pandas" and hasattr(frame, "index"):  # no groups
        return from_pandas(frame, label)
    if isinstance(frame, ArrowStream):
        return pl.DataFrame(frame)
    if isinstance(frame, np.ndarray) and frame.dtype.names:
        return pl.DataFrame({name: frame[name] for name in frame.dtype.names})
    if isinstance(frame, Mapping):
        return _from_columns(frame, label)
    if isinstance(frame, Sequence) and _are_rows(frame):
        return _from_rows(frame, label)
    raise SourceError(f"{_EXPECTED}, got {type(frame).__name__}")


def _module(frame: Any) -> str:
    """Return the package of the class of an object; the package itself is not imported."""
    return type(frame).__module__.partition(".")[0]


def _are_rows(values: Sequence[Any]) -> bool:
    """Return whether a sequence holds rows: dicts of single values, tuples or lists."""
    if isinstance(values, str | bytes) or not values:
        return False
    first = values[0]
    if isinstance(first, Mapping):
        return not any(_is_column(value) for value in first.values())
    return isinstance(first, Sequence) and not isinstance(first, str)


def _is_column(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list or isinstance(value, np.ndarray | pl.Series)


def _from_columns(columns: Mapping[Any, Any], label: str) -> pl.DataFrame:
    lengths = {str(name): len(values) for name, values in columns.items() if _is_column(values)}
    if len(lengths) < len(columns) or len(set(lengths.values())) > 1:
        raise SourceError(
            f"{label}: the columns of a dict must be lists of the same length, got "
            f"{', '.join(f'{name} ({length})' for name, length in lengths.items()) or 'no list'}; "
            "pass one list for each column"
        )
    return pl.DataFrame({str(name): _column(values) for name, values in columns.items()})


def _from_rows(rows: Sequence[Any], label: str) -> pl.DataFrame:
    if isinstance(rows[0], Mapping):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pl.DataFrame({str(n): _column([row.get(n) for row in rows]) for n in names})
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise SourceError(
            f"{label}: the rows have {min(lengths)} to {max(lengths)} values; pass rows of the "
            "same length"
        )
    names = list(_field_names(rows[0]))
    check_unique(names, label)
    return pl.DataFrame({name: _column([row[i] for row in rows]) for i, name in enumerate(names)})


@runtime_checkable
class _NamedTuple(Protocol):
    _fields: tuple[str, ...]


def _field_names(row: Sequence[Any]) -> Sequence[str]:
    """Return the names of a named tuple, or `column 1`, `column 2` and so on."""
    if isinstance(row, _NamedTuple):
        return row._fields
    return [f"column {number}" for number in range(1, len(row) + 1)]


def _column(values: Any) -> pl.Series:
    """Return a column; values of several types become text, as in a text file."""
    if not isinstance(values, Sequence):
        return pl.Series(values)
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and not kinds <= {int, float}:
        return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)
    try:
        return pl.Series(values, strict=True)
    except (TypeError, OverflowError):
        return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)
