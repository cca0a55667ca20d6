"""Reads the rows of a source as clicks, in chunks, with validated ids and times in milliseconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.sources import EXTRA, ROW, LogSource
from nextclick.data.readers.timestamps import TimeFormat, detect_time_format
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.data.readers.columns import Columns

CHUNK_ROWS = 500_000
_SAMPLE_ROWS = 1_000
_MAX_EXAMPLES = 5
_MAX_VALUE_LENGTH = 60  # characters of a value in a message


@dataclass(slots=True)
class BadRows:
    """Counts the rows that cannot be parsed, or raises on the first one.

    Attributes:
        skip: drop bad rows; else the first one raises.
        count: number of dropped rows.
        examples: the first dropped rows, each with file, row, column, value and reason.
    """

    skip: bool = False
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def record(self, source: LogSource, rows: pl.DataFrame, column: str, reason: str) -> None:
        """Count bad rows of a chunk, or raise on the first.

        Raises:
            SourceError: bad rows are not skipped.
        """
        for row, value in rows.select(ROW, column).head(_MAX_EXAMPLES).iter_rows():
            text = None if value is None else str(value)[:_MAX_VALUE_LENGTH]
            if not self.skip:
                where = "after the last column" if column == EXTRA else f"column {column!r}"
                raise SourceError(
                    f"{source.location(row)}, {where}: {reason}, "
                    f"got {'no value' if text is None else repr(text)}; "
                    "fix the row, or drop such rows with --on-bad-row skip"
                )
            if len(self.examples) < _MAX_EXAMPLES:
                example = {"file": source.label, "row": row + 1, "column": column}
                self.examples.append(example | {"value": text, "reason": reason})
        self.count += rows.height


@dataclass(slots=True)
class ReadCounts:
    """Numbers of rows of all sources: read, blank, and of event types that are not clicks."""

    rows: int = 0
    blank: int = 0
    other_events: int = 0


def check_column_types(source: LogSource, columns: Columns) -> None:
    """Check that every column holds scalar values that can be an id, a time or an event type.

    Raises:
        SourceError: a column has a nested type, or the time column has a type without a date.
    """
    types = source.table.select(list(dict.fromkeys(columns.by_role().values()))).collect_schema()
    for role, name in columns.by_role().items():
        valid = not types[name].is_nested() and types[name] != pl.Object
        if role == "time":
            valid = valid and types[name] not in (pl.Time, pl.Duration, pl.Boolean)
        if not valid:
            raise SourceError(
                f"{source.label}, column {name!r}: expected one value per row for the role "
                f"{role}, got {types[name]}; convert the column, or select another with "
                f"--{role}-column"
            )


def source_time_format(source: LogSource, columns: Columns, unit: str | None) -> TimeFormat | None:
    """Detect the time format of a source from its first rows; None if it has no row.

    Raises:
        SourceError: no time in the first rows can be parsed.
    """
    assert columns.time is not None
    sample = _collect(source, source.table.select(columns.time).head(_SAMPLE_ROWS))
    if sample.height == 0:
        return None
    time_format = detect_time_format(sample[columns.time], unit)
    if time_format is None:
        first_values = sample[columns.time].drop_nulls().head(3).to_list()
        raise SourceError(
            f"{source.label}, row 1, column {columns.time!r}: the times cannot be parsed, "
            f"the first values are {first_values}; set their unit with --time-unit s|ms|us|ns|iso"
        )
    return time_format


def read_chunks(
    source: LogSource,
    columns: Columns,
    times: TimeFormat,
    *,
    events: tuple[str, ...] | None,
    bad_rows: BadRows,
    counts: ReadCounts,
) -> Iterator[pl.DataFrame]:
    """Yield frames with one column per role of `columns`; `time` is Int64 milliseconds.

    Raises:
        SourceError: a row cannot be parsed and bad rows are not skipped.
    """
    names = columns.by_role()
    is_text = EXTRA in source.table.collect_schema().names()
    selected = [ROW, *dict.fromkeys(names.values()), *([EXTRA] if is_text else [])]
    for chunk in _batches(source, source.table.select(selected)):
        counts.rows += chunk.height
        if is_text:
            chunk = _check_fields(chunk, source, bad_rows, counts)
        if columns.event is not None and events is not None:
            clicks = chunk.filter(pl.col(columns.event).cast(pl.String).is_in(events))
            counts.other_events += chunk.height - clicks.height
            chunk = clicks
        for role in ("item", "session" if columns.session else "user"):
            missing = _is_missing(chunk[names[role]])
            reason = f"expected the id of the {role}"
            chunk = _drop_bad_rows(chunk, missing, source, names[role], reason, bad_rows)
        yield _select_roles(_parse_times(chunk, source, names["time"], times, bad_rows), names)


def _check_fields(
    chunk: pl.DataFrame, source: LogSource, bad_rows: BadRows, counts: ReadCounts
) -> pl.DataFrame:
    """Drop blank rows, and rows with more fields than the header."""
    rows = chunk.filter(~pl.all_horizontal(pl.exclude(ROW).is_null()))
    counts.blank += chunk.height - rows.height
    reason = "more fields than the header"
    return _drop_bad_rows(rows, pl.col(EXTRA).is_not_null(), source, EXTRA, reason, bad_rows)


def _parse_times(
    chunk: pl.DataFrame, source: LogSource, column: str, times: TimeFormat, bad_rows: BadRows
) -> pl.DataFrame:
    """Add the time in milliseconds as `__ms` and drop the rows whose time cannot be parsed."""
    chunk = chunk.with_columns(times.to_milliseconds(chunk[column]).alias("__ms"))
    reason = f"expected a time in {times.describe()}"
    return _drop_bad_rows(chunk, pl.col("__ms").is_null(), source, column, reason, bad_rows)


def _select_roles(chunk: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """Select the columns and rename them to their roles; empty user ids become null."""
    roles = {
        role: _empty_to_null(chunk[name]) if role == "user" else pl.col(name)
        for role, name in names.items()
        if role not in ("time", "event")
    }
    return chunk.select(**roles, time=pl.col("__ms"))


def _drop_bad_rows(
    chunk: pl.DataFrame,
    is_bad: pl.Expr,
    source: LogSource,
    column: str,
    reason: str,
    bad_rows: BadRows,
) -> pl.DataFrame:
    bad = chunk.filter(is_bad)
    if bad.height == 0:
        return chunk
    bad_rows.record(source, bad, column, reason)
    return chunk.filter(~is_bad)


def _is_missing(ids: pl.Series) -> pl.Expr:
    """Return the expression of ids that are null, empty or not finite."""
    column = pl.col(ids.name)
    if ids.dtype == pl.String:
        # stripping is slow, so ids are stripped only if one starts with whitespace
        has_whitespace = ids.str.starts_with(" ").any() or ids.str.starts_with("\t").any()
        text = column.str.strip_chars() if has_whitespace else column
        return column.is_null() | (text.str.len_bytes() == 0)
    if ids.dtype.is_float():
        return column.is_null() | ~column.is_finite()
    return column.is_null()


def _empty_to_null(ids: pl.Series) -> pl.Expr:
    return pl.when(~_is_missing(ids)).then(pl.col(ids.name))


def _batches(source: LogSource, table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    try:
        yield from table.collect_batches(
            chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _read_error(source, error) from error


def _collect(source: LogSource, table: pl.LazyFrame) -> pl.DataFrame:
    try:
        return table.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _read_error(source, error) from error


def _read_error(source: LogSource, error: Exception) -> SourceError:
    reason = re.split(r"\n|\. ", str(error).strip())[0]
    remedy = "check the file"
    if "utf-8" in reason.lower():
        remedy = "convert it to UTF-8 (iconv -t utf-8)"
        reason += source.invalid_utf8_location()
    return SourceError(f"{source.label}: cannot be read: {reason}; {remedy}")
