"""Reads all sources of a log into arrays of integer codes, chunk by chunk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.click_rows import (
    SAMPLE_ROWS,
    BadRows,
    ReadCounts,
    check_column_types,
    check_item_pattern,
    read_chunks,
    source_time_format,
)
from nextclick.data.readers.columns import (
    KEY_SEPARATOR,
    Columns,
    key_columns,
    resolve_columns,
    unused_columns,
)
from nextclick.data.readers.formats import LogFormat, get_log_format
from nextclick.data.readers.frames import is_frame, scan_frame
from nextclick.data.readers.kept_columns import (
    check_kept_columns,
    check_kept_names,
    frame_name,
)
from nextclick.data.readers.list_columns import row_per_click
from nextclick.errors import EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor

    from nextclick.core.types import Int32Array, Int64Array, Progress
    from nextclick.data.options import ReadOptions, SessionOptions
    from nextclick.data.readers.sources import LogSource
    from nextclick.data.readers.timestamps import TimeFormat


_MIXED_SESSIONS = 0.05  # share of clicks of other users above which session ids are reused
_MAX_EVENT_TYPES = 5  # in a message


NO_TIMES = "none: the log has only an order"


@dataclass(slots=True)
class RawPart:
    """The clicks of one part of a log, in the order of the files.

    A group is a session, or a user whose clicks are not yet split into sessions.

    Attributes:
        groups: encoder of the ids of sessions or users.
        group_user: (groups,) user code of each group, -1 if unknown.
        chunk_items, chunk_groups, chunk_times: item codes, group codes and milliseconds of the
            clicks, one array per chunk.
        chunk_columns: for each kept column the codes of the values, one array per chunk.
        n_other_user: clicks by another user than the first user of their session.
    """

    groups: IdEncoder = field(default_factory=IdEncoder)
    group_user: Int32Array = field(default_factory=lambda: np.full(1 << 12, -1, dtype=np.int32))
    chunk_items: list[Int32Array] = field(default_factory=list)
    chunk_groups: list[Int32Array] = field(default_factory=list)
    chunk_times: list[Int64Array] = field(default_factory=list)
    chunk_columns: list[list[Int32Array]] = field(default_factory=list)
    n_other_user: int = 0


@dataclass(frozen=True, slots=True)
class _Table:
    """A source with its resolved columns and its time format."""

    source: LogSource
    columns: Columns
    times: TimeFormat | None


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
        notes: decisions about columns and event types that the user should know.
    """

    items: IdEncoder
    users: IdEncoder | None
    kept: dict[str, IdEncoder]
    parts: list[RawPart]
    by_user: bool
    bad_rows: BadRows
    counts: ReadCounts
    columns: dict[str, str]
    times: str
    relative_times: bool
    has_times: bool
    notes: list[str] = field(default_factory=list)


def read_log(
    parts: Sequence[Sequence[Any]],
    read: ReadOptions,
    sessions: SessionOptions,
    progress: Progress,
) -> RawLog:
    """Read every source of every part.

    Args:
        parts: paths, globs, folders or frames; one list, or one for training and one for test.
        read: format, columns, unit, event types and treatment of bad rows.
        sessions: source of the sessions: a session column or the clicks of users.
        progress: callback that receives the number of rows read.

    Raises:
        SourceError: a source cannot be read with these options.
        EmptyLogError: a part has no click.
    """
    check_kept_names(read.keep_columns)
    if read.item_pattern is not None:
        check_item_pattern(read.item_pattern)
    log_format = get_log_format(read.format)
    sources = [_open_sources(part, log_format, read) for part in parts]
    requested = Columns(**{**log_format.columns.by_role(), **read.columns.by_role()})
    log = _read_sources(sources, requested, read, sessions, progress)
    n_mixed = sum(part.n_other_user for part in log.parts)
    if n_mixed < _MIXED_SESSIONS * log.counts.rows or requested.session is not None:
        return log
    key = KEY_SEPARATOR.join((log.columns["user"], log.columns["session"]))
    log = _read_sources(sources, replace(requested, session=key), read, sessions, progress)
    log.notes.append(
        f"{n_mixed:,} clicks had another user than the first click with their session id, so a "
        f"session is a user and an id ({key}); choose with --session-column"
    )
    return log


def _read_sources(
    sources: list[list[LogSource]],
    requested: Columns,
    read: ReadOptions,
    sessions: SessionOptions,
    progress: Progress,
) -> RawLog:
    log_format = get_log_format(read.format)
    sources = [[_with_session_key(s, requested.session) for s in part] for part in sources]
    first = sources[0][0]
    columns = resolve_columns(
        requested,
        first.columns,
        first.label,
        sessions_by=sessions.by,
        needs_time=log_format.has_times and read.order == "time",
    )
    by_user = columns.session is None
    if by_user and columns.time is None:
        raise SourceError(
            f"{first.label}: clicks without times cannot be divided into sessions; name a session "
            "column with --session-column"
        )
    notes: list[str] = []
    events = _event_types(read, log_format, columns, first, notes)
    required = columns if events is not None else replace(columns, event=None)
    unit = read.unit or log_format.unit
    tables = [
        _resolve_tables(part, requested, replace(read, unit=unit), by_user, required)
        for part in sources
    ]
    for source in (table.source for part in tables for table in part):
        check_kept_columns(source, read.keep_columns)
    times = _common_time_format([table for part in tables for table in part])
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
        notes=[*_source_notes(sources), *notes, *_unused_column_notes(columns, first)],
    )
    _read_parts(log, tables, events, read, progress)
    _check_not_empty(log, first, events)
    return log


def _with_session_key(source: LogSource, name: str | None) -> LogSource:
    """Add the column of a session key such as `user_id+session_id`."""
    parts = key_columns(name, source.columns)
    if name is None or not parts:
        return source
    texts = [pl.col(part).cast(pl.String).fill_null("") for part in parts]
    is_missing = pl.col(parts[-1]).is_null()
    key = pl.when(~is_missing).then(pl.concat_str(texts, separator="\x1f"))
    return source.with_column(name, pl.String(), parts, key)


def _source_notes(sources: Sequence[Sequence[LogSource]]) -> list[str]:
    return [note for part in sources for source in part for note in source.notes]


def _unused_column_notes(columns: Columns, source: LogSource) -> list[str]:
    notes = []
    for role, names in unused_columns(columns, source.columns).items():
        if names:
            what = "a session" if role == "session" else "an event type"
            listed = ", ".join(map(repr, names))
            notes.append(
                f"the name of {listed} suggests {what}, but it is not used; select it with "
                f"--{role}-column"
            )
    return notes


def _read_parts(
    log: RawLog,
    tables: Sequence[Sequence[_Table]],
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


def _open_sources(part: Sequence[Any], log_format: LogFormat, read: ReadOptions) -> list[LogSource]:
    frames = [scan_frame(source) for source in part if is_frame(source)]
    paths = [source for source in part if not is_frame(source)]
    if log_format.transform is not None:
        frames = [log_format.transform(frame, read) for frame in frames]
    return frames + (log_format.sources(paths, read) if paths else [])


def _event_types(
    read: ReadOptions,
    log_format: LogFormat,
    columns: Columns,
    first: LogSource,
    notes: list[str],
) -> tuple[str, ...] | None:
    """Return the spellings of the selected event types in the log, None for all rows."""
    if columns.event is None:
        if read.events is None:
            return log_format.events
        raise SourceError(
            f"{first.label}: --events needs an event column, none was found among "
            f"{', '.join(first.columns)}; name it with --event-column"
        )
    sample = first.head([columns.event], SAMPLE_ROWS)[columns.event].cast(pl.String).drop_nulls()
    counts = dict(sample.value_counts(sort=True).iter_rows())
    if read.events is None and log_format.events is None:
        if len(counts) > 1:
            notes.append(
                f"the event column {columns.event!r} is ignored, so every row counts as a click; "
                f"the first {len(sample):,} rows have {_format_counts(counts)}; select event "
                "types with --events"
            )
        return None
    events: list[str] = []
    for event in read.events or log_format.events or ():
        same = [found for found in counts if found.strip().lower() == event.strip().lower()]
        spellings = [event] if event in counts or not same else same
        if spellings != [event]:
            notes.append(f"the event type {event!r} is written {', '.join(map(repr, same))}")
        events += spellings
    return tuple(events)


def _format_counts(counts: Mapping[str, int]) -> str:
    """Return `view (812), cart (100)` and the number of other types."""
    listed = sorted(counts.items(), key=lambda pair: -pair[1])[:_MAX_EVENT_TYPES]
    more = len(counts) - len(listed)
    text = ", ".join(f"{name} ({count:,})" for name, count in listed)
    return f"{text} and {more} more" if more else text


def _resolve_tables(
    sources: Sequence[LogSource],
    requested: Columns,
    read: ReadOptions,
    by_user: bool,
    required: Columns,
) -> list[_Table]:
    """Resolve the columns and the time format of every source; skip sources without rows."""
    tables = []
    sessions_by: Any = "user" if by_user else "id"
    for source in sources:
        columns = resolve_columns(
            requested,
            source.columns,
            source.label,
            sessions_by=sessions_by,
            needs_time=required.time is not None,
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
            tables.append(_Table(source, columns, times))
    if not tables:
        raise EmptyLogError(
            f"{sources[0].label}: there is a header but no row; expected one row per click"
        )
    return tables


def _check_required_columns(required: Columns, columns: Columns, source: LogSource) -> None:
    for role, name in required.by_role().items():
        if getattr(columns, role) is None:
            raise SourceError(
                f"{source.label}: no {role} column found among {', '.join(source.columns)}, but "
                f"the first file has {name!r}; name it with --{role}-column, or omit the file"
            )


def _common_time_format(tables: Sequence[_Table]) -> TimeFormat | None:
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
        _grow_group_user(part)
        part.n_other_user += _assign_users(groups, users.result(), part.group_user)


def _grow_group_user(part: RawPart) -> None:
    n_groups, capacity = len(part.groups), len(part.group_user)
    if n_groups > capacity:
        grown = np.full(max(n_groups, 2 * capacity), -1, dtype=np.int32)
        grown[:capacity] = part.group_user
        part.group_user = grown


def _assign_users(groups: Int32Array, users: Int32Array, group_user: Int32Array) -> int:
    """Set the first known user of each group; return the number of clicks by another user."""
    unassigned = (users >= 0) & (group_user[groups] < 0)
    # the last of several assignments to one index is kept, so assign in reverse order
    group_user[groups[unassigned][::-1]] = users[unassigned][::-1]
    return int(np.count_nonzero((users >= 0) & (users != group_user[groups])))


def _check_not_empty(log: RawLog, first: LogSource, events: tuple[str, ...] | None) -> None:
    for part in log.parts:
        if not part.chunk_items or not any(len(chunk) for chunk in part.chunk_items):
            selected = ""
            if events:
                types = _format_counts(log.counts.event_types)
                selected = f"; none has the event type {', '.join(events)}, the log has {types}"
            raise EmptyLogError(
                f"{first.label}: no click is left of {log.counts.rows:,} rows "
                f"({log.bad_rows.count:,} bad, {log.counts.other_events:,} of other event types"
                f"{selected}); check --events, --on-bad-row and the columns"
            )
