"""Groups clicks into sessions and sorts the clicks of each session by time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.data.readers.kept_columns import with_session_values
from nextclick.data.session_table import SessionTable

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.data.readers.log_parts import RawPart


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the clicks of a session id or of a user become sessions.

    Attributes:
        gap_ms: longest gap within a session, in milliseconds; None for any.
        by_user: the groups of clicks are users.
        has_users: the users are known.
        has_times: the times are those of the log; else they are the order of its rows.
    """

    gap_ms: int | None
    by_user: bool
    has_users: bool
    has_times: bool

    def apply(self, table: SessionTable) -> SessionTable:
        """Return the sessions, given a table with the clicks of a group in each row."""
        if not (self.by_user or self.has_users):
            table = replace(table, users=None)
        if self.gap_ms is not None:
            table = cut_by_inactivity(table, self.gap_ms)
        table = with_session_values(table)
        return table if self.has_times else replace(table, times=None)


def gather_sessions(part: RawPart) -> SessionTable:
    """Group the clicks by session and sort them by time; equal times keep the order of the file.

    The chunks of the part are freed during the call, so that the log is in memory only once.
    """
    n_groups = len(part.groups)
    counts = np.zeros(n_groups + 1, dtype=np.int64)
    for groups in part.chunk_groups:
        counts[1:] += np.bincount(groups, minlength=n_groups)
    offsets = np.cumsum(counts)
    items = np.empty(offsets[-1], dtype=np.int32)
    times = np.empty(offsets[-1], dtype=np.int64)
    columns = tuple(np.empty(offsets[-1], dtype=np.int32) for _ in part.chunk_columns)
    cursor = offsets[:-1].copy()
    for i, groups in enumerate(part.chunk_groups):
        positions = session_positions(groups, cursor)
        items[positions] = part.chunk_items[i]
        times[positions] = part.chunk_times[i]
        for column, chunks in zip(columns, part.chunk_columns, strict=True):
            column[positions] = chunks[i]
            chunks[i] = np.empty(0, dtype=np.int32)
        part.chunk_items[i] = part.chunk_groups[i] = np.empty(0, dtype=np.int32)
        part.chunk_times[i] = np.empty(0, dtype=np.int64)
    out_of_order = _sort_sessions(times, offsets, (items, *columns))
    users = part.group_user[:n_groups].copy()
    keep = np.ones(len(items), dtype=np.bool_)
    return SessionTable(items, times, offsets, users, keep, out_of_order, columns)


def cut_by_inactivity(table: SessionTable, gap_ms: int) -> SessionTable:
    """Split each row of a table into sessions at gaps of more than `gap_ms`.

    Args:
        table: the clicks of a user or of a session in each row.
        gap_ms: longest gap within a session, in milliseconds.
    """
    assert table.times is not None
    lengths = np.diff(table.offsets)
    is_start = np.zeros(len(table.items), dtype=np.bool_)  # (E,)
    is_start[1:] = np.diff(table.times) > gap_ms
    is_start[table.offsets[:-1][lengths > 0]] = True
    starts = np.flatnonzero(is_start)
    users = None if table.users is None else np.repeat(table.users, lengths)[starts]
    offsets = np.append(starts, np.int64(len(table.items)))
    return replace(table, offsets=offsets, users=users)


@compiled_above(
    3_000_000,
    kernel="nextclick.data.session_position_kernels:session_positions",
    work=lambda groups, _cursor: len(groups),
)
def session_positions(groups: Int32Array, cursor: Int64Array) -> Int64Array:
    """Return (n,) int64, the position of each click of a chunk in the session table.

    Args:
        groups: (n,) group codes of the chunk.
        cursor: (groups,) next free position of each group; advanced in place.
    """
    # the sort is stable: the low half of each key is the row in the chunk, so keys are distinct
    keys = (groups.astype(np.int64) << 32) | np.arange(len(groups))
    keys.sort()
    order, sorted_groups = keys & 0xFFFFFFFF, keys >> 32
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=-1))
    counts = np.diff(starts, append=len(groups))
    present = sorted_groups[starts]
    positions = np.empty(len(groups), dtype=np.int64)
    positions[order] = np.arange(len(groups)) + np.repeat(cursor[present] - starts, counts)
    cursor[present] += counts
    return positions


def _sort_sessions(times: Int64Array, offsets: Int64Array, values: tuple[Int32Array, ...]) -> int:
    """Sort the clicks of each session by time, stably, in all arrays.

    Args:
        times: (E,) times of the clicks.
        offsets: (S + 1,) the sessions.
        values: other arrays (E,) of the clicks.

    Returns:
        The number of clicks out of order.
    """
    decreasing = np.zeros(len(times), dtype=np.bool_)  # (E,) earlier than the previous click
    decreasing[1:] = times[1:] < times[:-1]
    lengths = np.diff(offsets)
    decreasing[offsets[:-1][lengths > 0]] = False
    out_of_order = int(np.count_nonzero(decreasing))
    if out_of_order:
        clicks = np.flatnonzero(decreasing)
        unsorted = np.unique(np.searchsorted(offsets, clicks, side="right") - 1)  # sessions
        ends = np.cumsum(lengths[unsorted])
        session = np.repeat(np.arange(len(unsorted)), lengths[unsorted])
        positions = np.arange(ends[-1]) + (offsets[unsorted + 1] - ends)[session]
        order = positions[np.lexsort((times[positions], session))]
        times[positions] = times[order]
        for array in values:
            array[positions] = array[order]
    return out_of_order
