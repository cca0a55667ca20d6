"""Clicks in the order of the files to sessions in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.readers.raw_log import RawPart


@dataclass(slots=True)
class SessionTable:
    """S sessions with E clicks as codes, and which clicks are still in.

    Attributes:
        items: (E,) int32 item codes.
        times: (E,) int64 milliseconds, or None where a log has only an order.
        offsets: (S + 1,) int64.
        users: (S,) int32 user codes, -1 unknown; None without users.
        keep: (E,) bool, False for a click that a filter has dropped.
        out_of_order: clicks that stood in the file before an earlier one of their session.
    """

    items: Int32Array
    times: Int64Array | None
    offsets: Int64Array
    users: Int32Array | None
    keep: BoolArray
    out_of_order: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1


def gather_sessions(part: RawPart) -> SessionTable:
    """Bring the clicks of each session together, ordered by time; equal times keep file order.

    The part's chunks are used up, so that the log is in memory only once.
    """
    n_groups = len(part.groups)
    counts = np.zeros(n_groups + 1, dtype=np.int64)
    for groups in part.chunk_groups:
        counts[1:] += np.bincount(groups, minlength=n_groups)
    offsets = np.cumsum(counts)
    items = np.empty(offsets[-1], dtype=np.int32)
    times = np.empty(offsets[-1], dtype=np.int64)
    cursor = offsets[:-1].copy()
    for i, groups in enumerate(part.chunk_groups):
        order, at = _positions(groups, cursor)
        items[at] = part.chunk_items[i][order]
        times[at] = part.chunk_times[i][order]
        part.chunk_items[i] = part.chunk_groups[i] = np.empty(0, dtype=np.int32)
        part.chunk_times[i] = np.empty(0, dtype=np.int64)
    out_of_order = _sort_within(items, times, offsets)
    users = part.group_user[:n_groups].copy()
    keep = np.ones(len(items), dtype=np.bool_)
    return SessionTable(items, times, offsets, users, keep, out_of_order)


def cut_by_inactivity(table: SessionTable, gap_ms: int) -> SessionTable:
    """Cut every user's clicks where more than `gap_ms` pass between two of them.

    `table` holds one user per row, whose code is the row's number.
    """
    assert table.times is not None
    lengths = np.diff(table.offsets)
    begins = np.zeros(len(table.items), dtype=np.bool_)  # (E,)
    begins[1:] = np.diff(table.times) > gap_ms
    begins[table.offsets[:-1][lengths > 0]] = True
    starts = np.flatnonzero(begins)
    users = np.repeat(np.arange(len(table), dtype=np.int32), lengths)[starts]
    offsets = np.append(starts, np.int64(len(table.items)))
    return SessionTable(table.items, table.times, offsets, users, table.keep, table.out_of_order)


def _positions(groups: Int32Array, cursor: Int64Array) -> tuple[Int64Array, Int64Array]:
    """(n,) clicks sorted by group, and (n,) where each is stored; `cursor` moves past them."""
    # a stable sort: the low half of each key is the place in the chunk, so no two keys are equal
    keys = (groups.astype(np.int64) << 32) | np.arange(len(groups))
    keys.sort()
    order, sorted_groups = keys & 0xFFFFFFFF, keys >> 32
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=-1))
    counts = np.diff(starts, append=len(groups))
    present = sorted_groups[starts]
    at = np.arange(len(groups)) + np.repeat(cursor[present] - starts, counts)
    cursor[present] += counts
    return order, at


def _sort_within(items: Int32Array, times: Int64Array, offsets: Int64Array) -> int:
    """Sort the clicks of each session by time, stably; return how many came too early."""
    late = np.zeros(len(times), dtype=np.bool_)  # (E,) earlier than the click before it
    late[1:] = times[1:] < times[:-1]
    lengths = np.diff(offsets)
    late[offsets[:-1][lengths > 0]] = False
    out_of_order = int(np.count_nonzero(late))
    if out_of_order:
        mixed = np.unique(np.searchsorted(offsets, np.flatnonzero(late), side="right") - 1)
        ends = np.cumsum(lengths[mixed])
        owner = np.repeat(np.arange(len(mixed)), lengths[mixed])
        at = np.arange(ends[-1]) + (offsets[mixed + 1] - ends)[owner]
        order = at[np.lexsort((times[at], owner))]
        items[at], times[at] = items[order], times[order]
    return out_of_order
