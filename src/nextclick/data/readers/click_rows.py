"""Reads the rows of a source as clicks, in chunks, with validated ids and times in milliseconds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.kept_columns import frame_name
from nextclick.data.readers.raw_ids import clean_ids
from nextclick.data.readers.sources import BAD, LINE, ROW, TO_UTF8, LogSource
from nextclick.data.readers.timestamps import AmbiguousDateError, TimeFormat, detect_time_format
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.columns import Columns

SAMPLE_ROWS = 1_000
_ID_ROLES = frozenset({"session", "user", "item"})
_FIRST_ROUNDED: dict[pl.DataType, int] = {pl.Float64(): 2**53, pl.Float32(): 2**24}
_MAX_EXAMPLES = 5
_HEADER = "the header again, as where files were joined"
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
                fix = "fix the row"
                if why.startswith("invalid UTF-8"):
                    fix = TO_UTF8
                raise SourceError(
                    f"{where}: {why}; {fix}, or drop such rows with --on-bad-row skip"
                )
            if len(self.examples) < _MAX_EXAMPLES:
                example = {"file": source.label, "row": row + 1, "column": column}
                self.examples.append(example | {"value": text, "reason": why})
        self.count += rows.height

    def add(self, later: BadRows) -> None:
        """Add the bad rows of a later file."""
        self.count += later.count
        self.examples += later.examples[: _MAX_EXAMPLES - len(self.examples)]


@dataclass(slots=True)
class ReadCounts:
    """Numbers of rows of all sources.

    Attributes:
        rows: rows read.
        blank: blank lines.
        continuation: lines of text files that continue the row of an earlier line.
        other_events: rows of event types that are not clicks.
        event_types: rows of each of these types, as written in the log.
    """

    rows: int = 0
    blank: int = 0
    continuation: int = 0
    other_events: int = 0
    event_types: Counter[str] = field(default_factory=Counter)

    def add_lines(self, source: LogSource) -> None:
        """Add the numbers of lines of a source that was read to its end."""
        if source.lines is not None:
            self.blank += source.lines.blank
            self.continuation += source.lines.continuation

    def add(self, other: ReadCounts) -> None:
        """Add the numbers of another file."""
        self.rows += other.rows
        self.blank += other.blank
        self.continuation += other.continuation
        self.other_events += other.other_events
        self.event_types.update(other.event_types)


def check_item_pattern(pattern: str) -> None:
    """Check that a pattern is a regular expression with a group.

    Raises:
        ConfigError: it is not.
    """
    try:
        pl.Series([""]).str.extract(pattern)
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(
            f"item_pattern: {pattern!r} is not a regular expression: {reason}; quote it"
        ) from error
    if pl.Series([""]).str.extract_groups(pattern).struct.fields == []:
        raise ConfigError(
            f"item_pattern: {pattern!r} has no group; put the part that is the item in parentheses"
        )


def check_column_types(source: LogSource, columns: Columns) -> None:
    """Check that every column holds scalar values that can be an id, a time or an event type.

    Raises:
        SourceError: a column has a nested type, or the time column has a type without a date.
    """
    types = source.types
    for role, name in columns.by_role().items():
        expected = None
        if types[name].is_nested() or types[name] == pl.Object:
            expected = f"one value per row for the role {role}"
        elif role == "time" and types[name] in (pl.Time, pl.Duration, pl.Boolean):
            expected = "a date and a time"
        if expected is not None:
            hint = _clock_hint(["00:00"], name) if types[name] == pl.Time else ""
            raise SourceError(
                f"{source.label}, column {name!r}: expected {expected}, got {types[name]}; "
                f"convert the column, or select another with --{role}-column{hint}"
            )


def source_time_format(source: LogSource, columns: Columns, read: ReadOptions) -> TimeFormat | None:
    """Detect the time format of a source from its first rows; None without rows or times.

    Raises:
        SourceError: no time in the first rows can be parsed, or dates have two readings.
    """
    if columns.time is None:
        return None
    column = columns.time
    sample = source.head([column], SAMPLE_ROWS)[column]
    if len(sample) == 0:
        return None

    def more() -> Iterator[pl.Series]:
        return (frame[column] for frame in source.frames([column]))

    where = f"{source.label}, row 1, column {column!r}"
    try:
        time_format = detect_time_format(
            sample, read.unit, pattern=read.time_format, timezone=read.timezone, more=more
        )
    except AmbiguousDateError as error:
        raise SourceError(f"{where}: {error}") from None
    if time_format is None:
        first_values = [text[:_MAX_VALUE_LENGTH] for text in _texts(sample)]
        raise SourceError(
            f"{where}: the times cannot be parsed, the first values are {first_values}; describe "
            "them with --time-format, such as '%d.%m.%Y %H:%M', or with --time-unit "
            "s|ms|us|ns|excel|iso" + _clock_hint(first_values[:1], column)
        )
    return time_format


def _clock_hint(values: list[str], column: str) -> str:
    """Return how to join a date to values such as 09:10:00; empty for others."""
    if not any(re.match(r"\d{1,2}:\d\d", value) for value in values):
        return ""
    return f"; join the column of the dates: --time-column DATE+{column}"


def _texts(sample: pl.Series) -> list[str]:
    return sample.drop_nulls().head(3).cast(pl.String).to_list()


def read_chunks(
    source: LogSource,
    columns: Columns,
    times: TimeFormat | None,
    *,
    keep: tuple[str, ...] = (),
    events: tuple[str, ...] | None,
    read: ReadOptions,
    bad_rows: BadRows,
    counts: ReadCounts,
) -> Iterator[pl.DataFrame]:
    """Yield frames with one column per role of `columns`; `time` is Int64 milliseconds.

    Ids are Int64 or text. A row without an item or a session is bad; the user may be missing.
    The columns `keep` follow, named by `frame_name`.

    Raises:
        SourceError: a row cannot be parsed and bad rows are not skipped.
    """
    names = columns.by_role()
    required = ("item", "session" if columns.session else "user")
    for chunk in source.frames([*names.values(), *keep]):
        if BAD in chunk.columns and source.lines is None:
            chunk = _drop_blank(chunk, counts)
        counts.rows += chunk.height
        if BAD in chunk.columns:
            is_bad = pl.col(BAD).is_not_null()
            chunk = _drop_bad_rows(chunk, is_bad, source, None, pl.col(BAD), bad_rows)
        if columns.event is not None and events is not None:
            chunk = _select_events(chunk, columns.event, events, counts)
        if read.item_pattern is not None:
            chunk = _match_items(chunk, names["item"], read.item_pattern, counts)
        roles = [role for role in names if role in _ID_ROLES]
        for role in names:
            chunk = _drop_rounded(chunk, role, source, names[role], bad_rows)
        ids = {_prefixed(role): clean_ids(chunk[names[role]], read.missing) for role in roles}
        chunk = chunk.with_columns(**ids)
        if times is None and source.lines is not None:
            is_header = _is_text(names["item"], names["item"])
            chunk = _drop_bad_rows(chunk, is_header, source, None, pl.lit(_HEADER), bad_rows)
        for role in required:
            is_missing = pl.col(_prefixed(role)).is_null()
            reason = pl.lit(f"expected the id of the {role}")
            chunk = _drop_bad_rows(chunk, is_missing, source, names[role], reason, bad_rows)
        if times is None:
            chunk = chunk.with_columns(pl.lit(0, pl.Int64).alias(_prefixed("time")))
        else:
            chunk = _parse_times(chunk, source, names["time"], times, bad_rows)
        kept = {frame_name(name): clean_ids(chunk[name], read.missing) for name in keep}
        yield chunk.select(**{role: pl.col(_prefixed(role)) for role in (*roles, "time")}, **kept)


def _select_events(
    chunk: pl.DataFrame, column: str, events: tuple[str, ...], counts: ReadCounts
) -> pl.DataFrame:
    types = chunk[column].cast(pl.String)
    is_click = types.is_in(events)
    n_clicks = int(is_click.sum())
    if n_clicks == chunk.height:
        return chunk
    counts.other_events += chunk.height - n_clicks
    found = types.filter(~is_click.fill_null(value=False)).fill_null("").value_counts()
    counts.event_types.update(dict(found.iter_rows()))
    return chunk.filter(is_click)


def _match_items(
    chunk: pl.DataFrame, column: str, pattern: str, counts: ReadCounts
) -> pl.DataFrame:
    """Replace the item by the first group of the pattern; rows that do not match are no clicks."""
    found = chunk.with_columns(pl.col(column).cast(pl.String).str.extract(pattern))
    clicks = found.filter(pl.col(column).is_not_null())
    if clicks.height < chunk.height:
        counts.other_events += chunk.height - clicks.height
        counts.event_types.update({"no match of the item pattern": chunk.height - clicks.height})
    return clicks


def _drop_blank(chunk: pl.DataFrame, counts: ReadCounts) -> pl.DataFrame:
    """Drop the blank rows of a source that does not count its lines itself."""
    rows = chunk.filter(~pl.all_horizontal(pl.exclude(ROW, LINE).is_null()))
    counts.blank += chunk.height - rows.height
    return rows


def _parse_times(
    chunk: pl.DataFrame, source: LogSource, column: str, times: TimeFormat, bad_rows: BadRows
) -> pl.DataFrame:
    """Add the time in milliseconds and drop the rows whose time cannot be parsed."""
    name = _prefixed("time")
    chunk = chunk.with_columns(times.to_milliseconds(chunk[column]).alias(name))
    if chunk[name].null_count() and source.lines is not None:
        is_header = pl.col(name).is_null() & _is_text(column, column)
        chunk = _drop_bad_rows(chunk, is_header, source, None, pl.lit(_HEADER), bad_rows)
    reason = pl.lit(f"expected {times.expected()}")
    return _drop_bad_rows(chunk, pl.col(name).is_null(), source, column, reason, bad_rows)


def _drop_rounded(
    chunk: pl.DataFrame, role: str, source: LogSource, column: str, bad_rows: BadRows
) -> pl.DataFrame:
    """Drop the rows whose id or time is a float of more digits than such floats hold."""
    dtype = chunk.schema[column]
    limit = _FIRST_ROUNDED.get(dtype)
    if limit is None or (role == "time" and dtype == pl.Float64):
        return chunk
    value = pl.col(column)
    is_rounded = (value.is_finite() & (value.abs() >= limit)).fill_null(value=False)
    reason = pl.lit(f"expected the {role} as an integer or text, because {dtype} rounds it")
    return _drop_bad_rows(chunk, is_rounded, source, column, reason, bad_rows)


def _is_text(column: str, text: str) -> pl.Expr:
    """Whether the value of a column of any type is this text."""
    return pl.col(column).cast(pl.String, strict=False).eq_missing(pl.lit(text))


def _prefixed(role: str) -> str:
    """Return the column of the parsed values of a role, a name that no log has."""
    return f"__parsed_{role}"


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
