"""Rows of a source as clicks: chunk by chunk, checked, with times in milliseconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.sources import EXTRA, ROW, LogSource
from nextclick.data.readers.timestamps import TimeFormat, find_format
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.data.readers.columns import Columns

CHUNK_ROWS = 500_000
_SAMPLE_ROWS = 1_000
_EXAMPLES = 5
_SHOWN = 60  # characters of a value in a message


@dataclass(slots=True)
class BadRows:
    """What to do with rows that cannot be read, and what was done.

    Attributes:
        skip: leave them out; else the first one raises.
        count: how many were left out.
        examples: the first few, each with file, row, column, value and reason.
    """

    skip: bool = False
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def note(self, source: LogSource, rows: pl.DataFrame, column: str, reason: str) -> None:
        """Count bad rows of a chunk, or raise on the first.

        Raises:
            SourceError: rows are not to be skipped.
        """
        for row, value in rows.select(ROW, column).head(_EXAMPLES).iter_rows():
            shown = "nothing" if value is None else repr(str(value)[:_SHOWN])
            if not self.skip:
                name = "after the last column" if column == EXTRA else f"column {column!r}"
                raise SourceError(
                    f"{source.where(row)}, {name}: {reason}, got {shown}; "
                    "mend the row, or leave such rows out with --on-bad-row skip"
                )
            if len(self.examples) < _EXAMPLES:
                example = {"file": source.label, "row": row + 1, "column": column}
                text = None if value is None else str(value)[:_SHOWN]
                self.examples.append(example | {"value": text, "reason": reason})
        self.count += rows.height


@dataclass(slots=True)
class ReadCounts:
    """How many rows came to what, over all sources."""

    rows: int = 0
    blank: int = 0
    other_events: int = 0


def refuse_nested(source: LogSource, columns: Columns) -> None:
    """Refuse a column whose values are no single id, time or name.

    Raises:
        SourceError: a list or a struct where one value is needed, or a time without a day.
    """
    types = source.table.select(list(dict.fromkeys(columns.named().values()))).collect_schema()
    for role, name in columns.named().items():
        fits = not types[name].is_nested() and types[name] != pl.Object
        if role == "time":
            fits = fits and types[name] not in (pl.Time, pl.Duration, pl.Boolean)
        if not fits:
            raise SourceError(
                f"{source.label}, column {name!r}: expected one value per row to serve as the "
                f"{role}, got {types[name]}; convert the column, or name another with "
                f"--{role}-column"
            )


def time_format(source: LogSource, columns: Columns, unit: str | None) -> TimeFormat | None:
    """Find out how a source writes times, from its first rows; None if it has no row.

    Raises:
        SourceError: no time in the first rows can be read.
    """
    assert columns.time is not None
    sample = _collect(source, source.table.select(columns.time).head(_SAMPLE_ROWS))
    if sample.height == 0:
        return None
    found = find_format(sample[columns.time], unit)
    if found is None:
        shown = sample[columns.time].drop_nulls().head(3).to_list()
        raise SourceError(
            f"{source.label}, row 1, column {columns.time!r}: the times cannot be read, "
            f"they begin with {shown}; name their unit with --time-unit s|ms|us|ns|iso"
        )
    return found


def read_chunks(
    source: LogSource,
    columns: Columns,
    times: TimeFormat,
    *,
    events: tuple[str, ...] | None,
    bad: BadRows,
    counts: ReadCounts,
) -> Iterator[pl.DataFrame]:
    """Yield frames with the columns of `columns`, by role; `time` is Int64 milliseconds.

    Raises:
        SourceError: a row cannot be read and rows are not to be skipped.
    """
    named = columns.named()
    text = EXTRA in source.table.collect_schema().names()
    wanted = [ROW, *dict.fromkeys(named.values()), *([EXTRA] if text else [])]
    needed = ("item", "session") if columns.session else ("item", "user")
    for chunk in _batches(source, source.table.select(wanted)):
        counts.rows += chunk.height
        if text:
            chunk = _whole_rows(chunk, source, bad, counts)
        if columns.event is not None and events is not None:
            kept = chunk.filter(pl.col(columns.event).cast(pl.String).is_in(events))
            counts.other_events += chunk.height - kept.height
            chunk = kept
        for role in needed:
            empty = _empty(chunk[named[role]])
            reason = f"expected the id of the {role}"
            chunk = _without(chunk, empty, source, named[role], reason, bad)
        yield _by_role(_timed(chunk, source, named["time"], times, bad), named)


def _whole_rows(
    chunk: pl.DataFrame, source: LogSource, bad: BadRows, counts: ReadCounts
) -> pl.DataFrame:
    """Leave out blank rows, and rows that go on after the last column."""
    kept = chunk.filter(~pl.all_horizontal(pl.exclude(ROW).is_null()))
    counts.blank += chunk.height - kept.height
    reason = "more fields than the header has"
    return _without(kept, pl.col(EXTRA).is_not_null(), source, EXTRA, reason, bad)


def _timed(
    chunk: pl.DataFrame, source: LogSource, name: str, times: TimeFormat, bad: BadRows
) -> pl.DataFrame:
    """Add the time in milliseconds as `__ms`, without the rows whose time cannot be read."""
    chunk = chunk.with_columns(times.to_milliseconds(chunk[name]).alias("__ms"))
    reason = f"expected a time in {times.describe()}"
    return _without(chunk, pl.col("__ms").is_null(), source, name, reason, bad)


def _by_role(chunk: pl.DataFrame, named: dict[str, str]) -> pl.DataFrame:
    roles = {
        # a click may be of nobody, but nobody has no name
        role: _or_null(name, chunk[name]) if role == "user" else pl.col(name)
        for role, name in named.items()
        if role not in ("time", "event")
    }
    return chunk.select(**roles, time=pl.col("__ms"))


def _without(
    chunk: pl.DataFrame, fault: pl.Expr, source: LogSource, column: str, reason: str, bad: BadRows
) -> pl.DataFrame:
    faulty = chunk.filter(fault)
    if faulty.height == 0:
        return chunk
    bad.note(source, faulty, column, reason)
    return chunk.filter(~fault)


def _empty(ids: pl.Series) -> pl.Expr:
    column = pl.col(ids.name)
    if ids.dtype == pl.String:
        # to strip every id costs much: it is done only where one begins with a blank
        blank = ids.str.starts_with(" ").any() or ids.str.starts_with("\t").any()
        text = column.str.strip_chars() if blank else column
        return column.is_null() | (text.str.len_bytes() == 0)
    if ids.dtype.is_float():
        return column.is_null() | ~column.is_finite()
    return column.is_null()


def _or_null(name: str, ids: pl.Series) -> pl.Expr:
    return pl.when(~_empty(ids)).then(pl.col(name))


def _batches(source: LogSource, table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    try:
        yield from table.collect_batches(
            chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(source, error) from error


def _collect(source: LogSource, table: pl.LazyFrame) -> pl.DataFrame:
    try:
        return table.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: LogSource, error: Exception) -> SourceError:
    reason = re.split(r"\n|\. ", str(error).strip())[0]
    hint = "check the file"
    if "utf-8" in reason.lower():
        hint = "convert it to UTF-8 (iconv -t utf-8)"
        reason += source.first_bad_text()
    return SourceError(f"{source.label}: cannot be read: {reason}; {hint}")
