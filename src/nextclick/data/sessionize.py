"""Clicks in the order of the files to sessions in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange

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
        _count(groups, counts)
    offsets = np.cumsum(counts)
    items = np.empty(offsets[-1], dtype=np.int32)
    times = np.empty(offsets[-1], dtype=np.int64)
    cursor = offsets[:-1].copy()
    for i, groups in enumerate(part.chunk_groups):
        _scatter(groups, part.chunk_items[i], part.chunk_times[i], cursor, items, times)
        part.chunk_items[i] = part.chunk_groups[i] = np.empty(0, dtype=np.int32)
        part.chunk_times[i] = np.empty(0, dtype=np.int64)
    out_of_order = int(_sort_within(items, times, offsets))
    users = part.group_user[:n_groups].copy()
    keep = np.ones(len(items), dtype=np.bool_)
    return SessionTable(items, times, offsets, users, keep, out_of_order)


def cut_by_inactivity(table: SessionTable, gap_ms: int) -> SessionTable:
    """Cut every user's clicks where more than `gap_ms` pass between two of them.

    `table` holds one user per row, whose code is the row's number.
    """
    assert table.times is not None
    starts, users = _cut(table.times, table.offsets, gap_ms)
    offsets = np.append(starts, np.int64(len(table.items)))
    return SessionTable(table.items, table.times, offsets, users, table.keep, table.out_of_order)


@njit(cache=True)
def _count(groups: Int32Array, counts: Int64Array) -> None:
    for group in groups:
        counts[group + 1] += 1


@njit(cache=True)
def _scatter(
    groups: Int32Array,
    chunk_items: Int32Array,
    chunk_times: Int64Array,
    cursor: Int64Array,
    items: Int32Array,
    times: Int64Array,
) -> None:
    for i in range(len(groups)):
        at = cursor[groups[i]]
        cursor[groups[i]] = at + 1
        items[at] = chunk_items[i]
        times[at] = chunk_times[i]


@njit(cache=True, parallel=True)
def _sort_within(items: Int32Array, times: Int64Array, offsets: Int64Array) -> int:
    out_of_order = 0
    for s in prange(len(offsets) - 1):
        first, last = offsets[s], offsets[s + 1]
        late = 0
        for i in range(first + 1, last):
            if times[i] < times[i - 1]:
                late += 1
        if late > 0:
            order = np.argsort(times[first:last], kind="mergesort")
            items[first:last] = items[first:last][order]
            times[first:last] = times[first:last][order]
            out_of_order += late
    return out_of_order


@njit(cache=True)
def _cut(times: Int64Array, offsets: Int64Array, gap_ms: int) -> tuple[Int64Array, Int32Array]:
    n_sessions = 0
    for user in range(len(offsets) - 1):
        for i in range(offsets[user], offsets[user + 1]):
            if i == offsets[user] or times[i] - times[i - 1] > gap_ms:
                n_sessions += 1
    starts = np.empty(n_sessions, dtype=np.int64)
    users = np.empty(n_sessions, dtype=np.int32)
    s = 0
    for user in range(len(offsets) - 1):
        for i in range(offsets[user], offsets[user + 1]):
            if i == offsets[user] or times[i] - times[i - 1] > gap_ms:
                starts[s] = i
                users[s] = user
                s += 1
    return starts, users
