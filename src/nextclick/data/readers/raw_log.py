"""Reads all sources of a log into arrays of integer codes, chunk by chunk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.click_rows import (
    BadRows,
    ReadCounts,
    check_item_pattern,
    read_chunks,
)
from nextclick.data.readers.columns import KEY_SEPARATOR, Columns
from nextclick.data.readers.event_types import event_types, format_counts, missed_spellings
from nextclick.data.readers.formats import get_log_format
from nextclick.data.readers.id_notes import id_notes
from nextclick.data.readers.joined_columns import with_date_of_clock, with_joined_columns
from nextclick.data.readers.kept_columns import (
    check_kept_columns,
    check_kept_names,
    frame_name,
)
from nextclick.data.readers.log_parts import LogPart, RawPart
from nextclick.data.readers.log_tables import (
    LogTable,
    common_time_format,
    find_columns,
    open_sources,
    resolve_tables,
    source_notes,
    unused_column_notes,
)
from nextclick.errors import EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    import polars as pl

    from nextclick.core.types import Progress
    from nextclick.data.options import ReadOptions, SessionOptions
    from nextclick.data.readers.sources import LogSource

    ReadParts: TypeAlias = Callable[
        ["RawLog", Sequence[Sequence[LogTable]], tuple[str, ...] | None, ReadOptions, Progress],
        None,
    ]

_MIXED_SESSIONS = 0.05  # share of clicks of other users above which session ids are reused


NO_TIMES = "none: the log has only an order"


@dataclass(slots=True)
class RawLog:
    """A log as read.

    Attributes:
        items: encoder of the item codes.
        users: encoder of the user codes, None without users.
        kept: names of the kept columns to the encoders of their values.
        parts: one part, or training and test of a pre-split log.
        by_user: True if the groups of the parts are users, False if they are sessions.
        bad_rows: rows that cannot be parsed.
        counts: numbers of rows.
        columns: the column of each role.
        times: description of the time format.
        relative_times: True if the times are too small to be dates.
        has_times: False if the log has only the order of its rows.
        time_pattern: inferred pattern of dates whose order of day and month the log decided, else
            None.
        notes: decisions about columns and event types that the user should know.
    """

    items: IdEncoder
    users: IdEncoder | None
    kept: dict[str, IdEncoder]
    parts: list[LogPart]
    by_user: bool
    bad_rows: BadRows
    counts: ReadCounts
    columns: dict[str, str]
    times: str
    relative_times: bool
    has_times: bool
    time_pattern: str | None
    notes: list[str] = field(default_factory=list)

    def add(self, counts: ReadCounts, bad_rows: BadRows) -> None:
        """Add the counts and the bad rows of a file that another process has read."""
        self.counts.add(counts)
        self.bad_rows.add(bad_rows)


def read_log(
    parts: Sequence[Sequence[Any]],
    read: ReadOptions,
    sessions: SessionOptions,
    progress: Progress,
    read_tables: ReadParts | None = None,
) -> RawLog:
    """Read every source of every part.

    Args:
        parts: paths, globs, folders or frames; one list, or one for training and one for test.
        read: format, columns, unit, event types and treatment of bad rows.
        sessions: source of the sessions: a session column or the clicks of users.
        progress: callback that receives the number of rows read.
        read_tables: reads the rows of the opened tables; None reads them in this process.

    Raises:
        SourceError: a source cannot be read with these options.
        EmptyLogError: a part has no click.
    """
    check_kept_names(read.keep_columns)
    if read.item_pattern is not None:
        check_item_pattern(read.item_pattern)
    log_format = get_log_format(read.format)
    sources = [open_sources(part, log_format, read) for part in parts]
    requested = Columns(**{**log_format.columns.by_role(), **read.columns.by_role()})
    read_tables = read_tables or read_parts
    log = _read_sources(sources, requested, read, sessions, progress, read_tables)
    n_mixed = sum(part.n_other_user for part in log.parts)
    if n_mixed < _MIXED_SESSIONS * log.counts.rows or requested.session is not None:
        log.notes += id_notes(log)
        return log
    key = KEY_SEPARATOR.join((log.columns["user"], log.columns["session"]))
    by_key = replace(requested, session=key)
    log = _read_sources(sources, by_key, read, sessions, progress, read_tables)
    log.notes.append(
        f"{n_mixed:,} clicks had another user than the first click with their session id, so a "
        f"session is a user and an id ({key}); choose with --session-column"
    )
    log.notes += id_notes(log)
    return log


def _read_sources(
    sources: list[list[LogSource]],
    requested: Columns,
    read: ReadOptions,
    sessions: SessionOptions,
    progress: Progress,
    read_tables: ReadParts,
) -> RawLog:
    log_format = get_log_format(read.format)
    first = sources[0][0]
    needs_time = log_format.has_times and read.order == "time"
    notes: list[str] = []
    if needs_time:
        requested = with_date_of_clock(first, requested)
    sources = [[with_joined_columns(s, requested) for s in part] for part in sources]
    first = sources[0][0]
    columns = find_columns(
        first,
        requested,
        sessions_by=sessions.by,
        needs_time=needs_time,
        is_only_source=len(sources[0]) == 1,
    )
    by_user = columns.session is None
    if by_user and columns.time is None:
        raise SourceError(
            f"{first.label}: clicks without times cannot be divided into sessions; name a session "
            "column with --session-column"
        )
    events = event_types(read, log_format, columns, first, notes)
    required = columns if events is not None else replace(columns, event=None)
    unit = read.unit or log_format.unit
    tables = [
        resolve_tables(part, requested, replace(read, unit=unit), by_user, required)
        for part in sources
    ]
    for source in (table.source for part in tables for table in part):
        check_kept_columns(source, read.keep_columns)
    times = common_time_format([table for part in tables for table in part])
    log = RawLog(
        items=IdEncoder(),
        users=IdEncoder() if columns.user and columns.session else None,
        kept={name: IdEncoder() for name in read.keep_columns},
        parts=[],
        by_user=by_user,
        bad_rows=BadRows(skip=read.on_bad_row == "skip"),
        counts=ReadCounts(),
        columns=columns.by_role(),
        times=NO_TIMES if times is None else times.describe(),
        relative_times=times is not None and times.relative,
        has_times=times is not None,
        time_pattern=None if times is None else times.ambiguous_pattern,
        notes=[*source_notes(sources), *notes, *unused_column_notes(columns, first)],
    )
    read_tables(log, tables, events, read, progress)
    _check_not_empty(log, first, events)
    log.notes += missed_spellings(events or (), log.counts.event_types)
    return log


def read_parts(
    log: RawLog,
    tables: Sequence[Sequence[LogTable]],
    events: tuple[str, ...] | None,
    read: ReadOptions,
    progress: Progress,
) -> None:
    """Append the clicks of all tables to the log."""
    users = IdEncoder()
    with ThreadPoolExecutor(2) as pool:
        for part_tables in tables:
            # parts share the user ids, but the same session id may occur in both parts
            part = RawPart(groups=users) if log.by_user else RawPart()
            part.chunk_columns = [[] for _ in log.kept]
            for table in part_tables:
                for chunk in read_chunks(
                    table.source,
                    table.columns,
                    table.times,
                    keep=tuple(log.kept),
                    events=events,
                    read=read,
                    bad_rows=log.bad_rows,
                    counts=log.counts,
                ):
                    _append_chunk(part, chunk, log, pool)
                    progress("read", log.counts.rows, None)
                log.counts.add_lines(table.source)
            log.parts.append(part)
    if log.by_user:
        log.users = users


def _append_chunk(part: RawPart, chunk: pl.DataFrame, log: RawLog, pool: Executor) -> None:
    # the encoders release the interpreter lock, so the columns of a chunk are encoded in parallel
    items = pool.submit(log.items.encode, chunk["item"])
    users = None
    if log.users is not None and not log.by_user:
        users = pool.submit(log.users.encode, chunk["user"])
    groups = part.groups.encode(chunk["user" if log.by_user else "session"])
    part.chunk_items.append(items.result())
    part.chunk_groups.append(groups)
    part.chunk_times.append(chunk["time"].to_numpy())
    for codes, (name, encoder) in zip(part.chunk_columns, log.kept.items(), strict=True):
        codes.append(encoder.encode(chunk[frame_name(name)]))
    if users is not None:
        part.add_users(groups, users.result())


def _check_not_empty(log: RawLog, first: LogSource, events: tuple[str, ...] | None) -> None:
    for part in log.parts:
        if not part.n_clicks:
            selected = ""
            if events:
                types = format_counts(log.counts.event_types)
                selected = f"; none has the event type {', '.join(events)}, the log has {types}"
            raise EmptyLogError(
                f"{first.label}: no click is left of {log.counts.rows:,} rows "
                f"({log.bad_rows.count:,} bad, {log.counts.other_events:,} of other event types"
                f"{selected}); check --events, --on-bad-row and the columns"
            )
