"""Columns that are joined from others: a session key, and a date with a time of day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.columns import (
    COMMON_NAMES,
    KEY_SEPARATOR,
    key_columns,
    normalized_name,
    resolve_columns,
)
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from nextclick.data.readers.columns import Columns
    from nextclick.data.readers.sources import LogSource

_SAMPLE_ROWS = 100
_CLOCK = r"^\s*\d{1,2}:\d\d(:\d\d([.,]\d+)?)?\s*([AaPp][Mm])?\s*$"
_SESSION_SEPARATOR = "\x1f"  # is in no id


def with_joined_columns(source: LogSource, requested: Columns) -> LogSource:
    """Add the column of a session key such as `user_id+session_id`, and of `date+time`."""
    source = _joined(source, requested.session, _SESSION_SEPARATOR)
    return _joined(source, requested.time, " ")


def _joined(source: LogSource, name: str | None, separator: str) -> LogSource:
    """Add a column of the texts of others; it is null where the last of them is."""
    parts = key_columns(name, source.columns)
    if name is None or not parts:
        return source
    texts = [pl.col(part).cast(pl.String).fill_null("") for part in parts]
    is_missing = pl.col(parts[-1]).is_null()
    key = pl.when(~is_missing).then(pl.concat_str(texts, separator=separator))
    return source.with_column(name, pl.String(), parts, key)


def with_date_of_clock(source: LogSource, requested: Columns) -> Columns:
    """Return the names with `date+time` as the time, if the time column has no date.

    The date is another column with a common name of a time.
    """
    if requested.time is not None:
        return requested
    try:
        found = resolve_columns(
            requested, source.columns, source.label, sessions_by="auto", needs_time=False
        )
    except SourceError:  # is raised again where the columns are resolved
        return requested
    if found.time is None or not is_clock(source, found.time):
        return requested
    names = {normalized_name(name) for name in COMMON_NAMES["time"]}
    dates = [
        column
        for column in source.columns
        if column != found.time
        and normalized_name(column) in names
        and source.types[column] in (pl.String, pl.Date)
        and not is_clock(source, column)
    ]
    if not dates:
        return requested
    return replace(requested, time=KEY_SEPARATOR.join((dates[0], found.time)))


def is_clock(source: LogSource, column: str) -> bool:
    """Return whether the first values of a column are times of day without a date."""
    if source.types[column] == pl.Time:
        return True
    if source.types[column] != pl.String:
        return False
    values = source.head([column], _SAMPLE_ROWS)[column].drop_nulls()
    return len(values) > 0 and bool(values.str.contains(_CLOCK).all())
