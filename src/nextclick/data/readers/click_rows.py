"""Reads the rows of a source as clicks, in chunks, with validated ids and times in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.sources import BAD, LINE, ROW, LogSource
from nextclick.data.readers.timestamps import TimeFormat, detect_time_format
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.data.readers.columns import Columns

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

    def record(
        self, source: LogSource, rows: pl.DataFrame, column: str | None, reason: pl.Expr
    ) -> None:
        """Count bad rows of a chunk, or raise on the first.

        Args:
            source: the source of the rows.
            rows: the bad rows.
            column: the column with the invalid value, None if the row as a whole is invalid.
            reason: why each row is invalid.

        Raises:
            SourceError: bad rows are not skipped.
        """
        line = pl.col(LINE) if LINE in rows.columns else pl.lit(None)
        value = pl.lit(None) if column is None else pl.col(column)
        examples = rows.head(_MAX_EXAMPLES).select(ROW, line=line, reason=reason, value=value)
        for row, line_number, why, raw in examples.iter_rows():
            text = None if raw is None else str(raw)[:_MAX_VALUE_LENGTH]
            if not self.skip:
                where = source.location(row, line_number)
                if column is not None:
                    got = "no value" if text is None else repr(text)
                    where, why = f"{where}, column {column!r}", f"{why}, got {got}"
                raise SourceError(
                    f"{where}: {why}; fix the row, or drop such rows with --on-bad-row skip"
                )
            if len(self.examples) < _MAX_EXAMPLES:
                example = {"file": source.label, "row": row + 1, "column": column}
                self.examples.append(example | {"value": text, "reason": why})
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
    types = source.types
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
    sample = source.head([columns.time], _SAMPLE_ROWS)
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
    for chunk in source.frames(list(names.values())):
        counts.rows += chunk.height
        if BAD in chunk.columns:
            is_bad = pl.col(BAD).is_not_null()
            chunk = _drop_bad_rows(chunk, is_bad, source, None, pl.col(BAD), bad_rows)
        if columns.event is not None and events is not None:
            clicks = chunk.filter(pl.col(columns.event).cast(pl.String).is_in(events))
            counts.other_events += chunk.height - clicks.height
            chunk = clicks
        for role in ("item", "session" if columns.session else "user"):
            missing = _is_missing(chunk[names[role]])
            reason = pl.lit(f"expected the id of the {role}")
            chunk = _drop_bad_rows(chunk, missing, source, names[role], reason, bad_rows)
        yield _select_roles(_parse_times(chunk, source, names["time"], times, bad_rows), names)


def _parse_times(
    chunk: pl.DataFrame, source: LogSource, column: str, times: TimeFormat, bad_rows: BadRows
) -> pl.DataFrame:
    """Add the time in milliseconds as `__ms` and drop the rows whose time cannot be parsed."""
    chunk = chunk.with_columns(times.to_milliseconds(chunk[column]).alias("__ms"))
    reason = pl.lit(f"expected a time in {times.describe()}")
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
    column: str | None,
    reason: pl.Expr,
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
