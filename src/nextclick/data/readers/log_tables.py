"""The sources of a log with their columns and time formats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.data.readers.click_rows import check_column_types, source_time_format
from nextclick.data.readers.columns import Columns, resolve_columns, unused_columns
from nextclick.data.readers.frames import is_frame, scan_frame
from nextclick.data.readers.list_columns import row_per_click
from nextclick.errors import EmptyLogError, SourceError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.columns import SessionsBy
    from nextclick.data.readers.formats import LogFormat
    from nextclick.data.readers.sources import LogSource
    from nextclick.data.readers.timestamps import TimeFormat


@dataclass(frozen=True, slots=True)
class LogTable:
    """A source with its resolved columns and its time format."""

    source: LogSource
    columns: Columns
    times: TimeFormat | None


def open_sources(part: Sequence[Any], log_format: LogFormat, read: ReadOptions) -> list[LogSource]:
    """Open the frames and the files of a part."""
    frames = [scan_frame(source) for source in part if is_frame(source)]
    paths = [source for source in part if not is_frame(source)]
    if log_format.transform is not None:
        frames = [log_format.transform(frame, read) for frame in frames]
    return frames + (log_format.sources(paths, read) if paths else [])


def source_notes(sources: Sequence[Sequence[LogSource]]) -> list[str]:
    """Return the notes of all sources."""
    return [note for part in sources for source in part for note in source.notes]


def find_columns(
    source: LogSource,
    requested: Columns,
    *,
    sessions_by: SessionsBy,
    needs_time: bool = True,
    is_only_source: bool = True,
) -> Columns:
    """Return the column of every role; see `resolve_columns`.

    Raises:
        SourceError: a column does not exist. The message has a remedy for lists, for text of
            one column, and for a file beside others that is perhaps no part of the log.
    """
    try:
        return resolve_columns(
            requested,
            source.columns,
            source.label,
            sessions_by=sessions_by,
            needs_time=needs_time,
        )
    except SourceError as error:
        lists = [name for name, dtype in source.types.items() if dtype.is_nested()]
        hint = ""
        if lists:
            hint = f"; if each element of {lists[0]!r} is a click, add --records {lists[0]}"
        if source.lines is not None and len(source.columns) == 1:
            hint = (
                "; the file has one column, so set --separator, or remove quotes that enclose "
                "each whole line"
            )
        if not is_only_source:
            hint += "; if this file is no part of the log, pass the other files by name"
        raise SourceError(f"{error}{hint}") from None


def unused_column_notes(columns: Columns, source: LogSource) -> list[str]:
    """Return a note for columns whose names suggest a session or an event type."""
    notes = []
    scalars = [name for name, dtype in source.types.items() if not dtype.is_nested()]
    for role, names in unused_columns(columns, scalars).items():
        if names:
            what = "a session" if role == "session" else "an event type"
            listed = ", ".join(map(repr, names))
            notes.append(
                f"the name of {listed} suggests {what}, but it is not used; select it with "
                f"--{role}-column"
            )
    return notes


def resolve_tables(
    sources: Sequence[LogSource],
    requested: Columns,
    read: ReadOptions,
    by_user: bool,
    required: Columns,
) -> list[LogTable]:
    """Resolve the columns and the time format of every source; skip sources without rows.

    Raises:
        SourceError: a source lacks a column of the first one, or a column cannot be read.
        EmptyLogError: no source has a row.
    """
    tables = []
    sessions_by: Any = "user" if by_user else "id"
    for source in sources:
        columns = find_columns(
            source,
            requested,
            sessions_by=sessions_by,
            needs_time=required.time is not None,
            is_only_source=len(sources) == 1,
        )
        if required.time is None:
            columns = replace(columns, time=None)
        _check_required_columns(required, columns, source)
        source = row_per_click(source, columns)
        check_column_types(source, columns)
        times = source_time_format(source, columns, read)
        has_row = times is not None
        if columns.time is None:
            has_row = source.head(list(columns.by_role().values()), 1).height > 0
        if has_row:
            tables.append(LogTable(source, columns, times))
    if not tables:
        raise EmptyLogError(
            f"{sources[0].label}: there is a header but no row; expected one row per click"
        )
    return tables


def _check_required_columns(required: Columns, columns: Columns, source: LogSource) -> None:
    for role, name in required.by_role().items():
        if getattr(columns, role) is None:
            raise SourceError(
                f"{source.label}: no {role} column found among {listed(source.columns)}, but "
                f"the first file has {name!r}; name it with --{role}-column, or omit the file"
            )


def common_time_format(tables: Sequence[LogTable]) -> TimeFormat | None:
    """Return the time format of the first table, None without times.

    Raises:
        SourceError: a table has another unit.
    """
    first = tables[0]
    if first.times is None:
        return None
    for table in tables:
        assert table.times is not None
        if table.times.unit != first.times.unit:
            raise SourceError(
                f"{table.source.label}, column {table.columns.time!r}: the times are "
                f"{table.times.describe()}, but {first.source.label} has "
                f"{first.times.describe()}; convert them, or set --time-unit"
            )
    return first.times
