"""All sources of a log into flat arrays of codes, without ever holding the log as objects."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.click_rows import (
    BadRows,
    ReadCounts,
    read_chunks,
    refuse_nested,
    time_format,
)
from nextclick.data.readers.columns import Columns, resolve
from nextclick.data.readers.formats import LogFormat, dialect, is_frame
from nextclick.data.readers.sources import LogSource, scan_frame
from nextclick.errors import EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    import polars as pl

    from nextclick.core.types import Int32Array, Int64Array, Progress
    from nextclick.data.options import ReadOptions, SessionOptions
    from nextclick.data.readers.timestamps import TimeFormat


@dataclass(slots=True)
class RawPart:
    """The clicks of one part of a log, in the order of the files.

    Attributes:
        groups: a session, or a user whose clicks are still to be cut.
        group_user: (groups,) user code, -1 where nobody is named.
        chunk_items, chunk_groups, chunk_times: codes and milliseconds, chunk by chunk.
        several_users: clicks whose session had begun under another user.
    """

    groups: IdEncoder = field(default_factory=IdEncoder)
    group_user: Int32Array = field(default_factory=lambda: np.full(1 << 12, -1, dtype=np.int32))
    chunk_items: list[Int32Array] = field(default_factory=list)
    chunk_groups: list[Int32Array] = field(default_factory=list)
    chunk_times: list[Int64Array] = field(default_factory=list)
    several_users: int = 0


@dataclass(frozen=True, slots=True)
class _Table:
    """A source whose columns and times are understood."""

    source: LogSource
    columns: Columns
    times: TimeFormat


@dataclass(slots=True)
class RawLog:
    """A log as read: its parts (one, or training and test) and what was learned in reading it."""

    items: IdEncoder
    users: IdEncoder | None
    parts: list[RawPart]
    by_user: bool
    bad: BadRows
    counts: ReadCounts
    columns: dict[str, str]
    times: str
    relative_times: bool
    unused_event: str | None = None


def read_log(
    parts: Sequence[Sequence[Any]],
    read: ReadOptions,
    sessions: SessionOptions,
    progress: Progress,
) -> RawLog:
    """Read every source of every part.

    Args:
        parts: paths, globs, folders or frames; one list, or one for training and one for test.
        read: how.
        sessions: whether to look for a session column.
        progress: told the rows read so far.

    Raises:
        SourceError: something cannot be read as asked.
        EmptyLogError: there is no click at all.
    """
    form = dialect(read.format)
    opened = [_open(part, form, read) for part in parts]
    asked = Columns(**{**form.columns.named(), **read.columns.named()})
    first = opened[0][0]
    columns = resolve(asked, first.columns, first.label, by=sessions.by)
    by_user = columns.session is None
    events = _events(read, form, columns, first)
    unit = read.unit or form.unit
    needed = columns if events is not None else replace(columns, event=None)
    tables = [_with_rows(sources, asked, unit, by_user, needed) for sources in opened]
    times = _one_unit([table for part in tables for table in part])
    log = RawLog(
        items=IdEncoder(),
        users=IdEncoder() if columns.user and columns.session else None,
        parts=[],
        by_user=by_user,
        bad=BadRows(skip=read.on_bad_row == "skip"),
        counts=ReadCounts(),
        columns=columns.named(),
        times=times.describe(),
        relative_times=times.relative,
        unused_event=columns.event if events is None else None,
    )
    users = IdEncoder()
    with ThreadPoolExecutor(2) as pool:
        for part_tables in tables:
            # a user is the same in every part, a session id need not be
            part = RawPart(groups=users) if by_user else RawPart()
            for table in part_tables:
                for chunk in read_chunks(
                    table.source,
                    table.columns,
                    table.times,
                    events=events,
                    bad=log.bad,
                    counts=log.counts,
                ):
                    _append(part, chunk, log, pool)
                    progress("read", log.counts.rows, None)
            log.parts.append(part)
    _refuse_nothing(log, first, events)
    if log.by_user:
        log.users = users
    return log


def _open(part: Sequence[Any], form: LogFormat, read: ReadOptions) -> list[LogSource]:
    frames = [scan_frame(source) for source in part if is_frame(source)]
    paths = [source for source in part if not is_frame(source)]
    if frames and form.shape is not None:
        frames = [form.shape(frame, read.order) for frame in frames]
    files = form.sources(paths, separator=read.separator, order=read.order) if paths else []
    return frames + files


def _events(
    read: ReadOptions, form: LogFormat, columns: Columns, first: LogSource
) -> tuple[str, ...] | None:
    if read.events is None:
        return form.events
    if columns.event is None:
        raise SourceError(
            f"{first.label}: --events needs an event column, none was found among "
            f"{', '.join(first.columns)}; name it with --event-column"
        )
    return read.events


def _with_rows(
    sources: Sequence[LogSource], asked: Columns, unit: str | None, by_user: bool, first: Columns
) -> list[_Table]:
    """Resolve the columns of every source; those without a row (a quiet hour) fall out."""
    tables = []
    for source in sources:
        columns = resolve(asked, source.columns, source.label, by="user" if by_user else "id")
        _refuse_other_roles(first, columns, source)
        refuse_nested(source, columns)
        times = time_format(source, columns, unit)
        if times is not None:
            tables.append(_Table(source, columns, times))
    if not tables:
        raise EmptyLogError(
            f"{sources[0].label}: there is a header but no row; expected one for each click"
        )
    return tables


def _refuse_other_roles(first: Columns, columns: Columns, source: LogSource) -> None:
    for role, name in first.named().items():
        if getattr(columns, role) is None:
            raise SourceError(
                f"{source.label}: no {role} column found among {', '.join(source.columns)}, but "
                f"the first file has {name!r}; name it with --{role}-column, or leave the file out"
            )


def _one_unit(tables: Sequence[_Table]) -> TimeFormat:
    first = tables[0]
    for table in tables:
        if table.times.unit != first.times.unit:
            raise SourceError(
                f"{table.source.label}, column {table.columns.time!r}: the times are "
                f"{table.times.describe()}, but {first.source.label} has "
                f"{first.times.describe()}; convert them, or set --time-unit"
            )
    return first.times


def _append(part: RawPart, chunk: pl.DataFrame, log: RawLog, pool: Executor) -> None:
    # the encoders release the interpreter's lock: a chunk's columns are encoded side by side
    items = pool.submit(log.items.encode, chunk["item"])
    named = None
    if log.users is not None and not log.by_user:
        named = pool.submit(log.users.encode, chunk["user"])
    groups = part.groups.encode(chunk["user" if log.by_user else "session"])
    part.chunk_items.append(items.result())
    part.chunk_groups.append(groups)
    part.chunk_times.append(chunk["time"].to_numpy())
    if named is not None:
        _grow(part)
        part.several_users += _name_users(groups, named.result(), part.group_user)


def _grow(part: RawPart) -> None:
    n_groups, room = len(part.groups), len(part.group_user)
    if n_groups > room:
        grown = np.full(max(n_groups, 2 * room), -1, dtype=np.int32)
        grown[:room] = part.group_user
        part.group_user = grown


def _refuse_nothing(log: RawLog, first: LogSource, events: tuple[str, ...] | None) -> None:
    for part in log.parts:
        if not part.chunk_items or not any(len(chunk) for chunk in part.chunk_items):
            kept = f", none of the event types {', '.join(events)}" if events else ""
            raise EmptyLogError(
                f"{first.label}: no click is left of {log.counts.rows:,} rows "
                f"({log.bad.count:,} bad, {log.counts.other_events:,} of other event types{kept}); "
                "check --events, --on-bad-row and the columns"
            )


def _name_users(groups: Int32Array, users: Int32Array, group_user: Int32Array) -> int:
    """Give each group its first known user; return how many clicks name another user."""
    unnamed = (users >= 0) & (group_user[groups] < 0)
    # of several values for one index the last assignment stands, so assign in reverse
    group_user[groups[unnamed][::-1]] = users[unnamed][::-1]
    return int(np.count_nonzero((users >= 0) & (users != group_user[groups])))
