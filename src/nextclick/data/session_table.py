"""The sessions of a log in memory: the `ClickTable` of the local engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.data.click_passes import passes_for
from nextclick.data.part_writer import write_in_folder
from nextclick.data.repeated_sessions import count_repeated_sessions

if TYPE_CHECKING:
    from nextclick.core.remote_upload import OutputFolder
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.part_writer import PartArrays, WrittenPart


@dataclass(slots=True)
class SessionTable:
    """S sessions with E clicks as codes, and a mask of the clicks that the filters keep.

    The methods are described in `ClickTable`.

    Attributes:
        items: (E,) int32 item codes.
        times: (E,) int64 milliseconds, or None if the log has no times.
        offsets: (S + 1,) int64; session s has the clicks offsets[s] to offsets[s + 1].
        users: (S,) int32 user codes, -1 if unknown; None without users.
        keep: (E,) bool, False for clicks that a filter dropped.
        out_of_order: number of clicks that are earlier than the previous click of their session
            in the file.
        click_columns: for each kept column (E,) int32 codes of the values, -1 for no value; empty
            once `columns` is known.
        columns: for each kept column (S,) int32 codes of the values, -1 if a session has none.
    """

    items: Int32Array
    times: Int64Array | None
    offsets: Int64Array
    users: Int32Array | None
    keep: BoolArray
    out_of_order: int = 0
    click_columns: tuple[Int32Array, ...] = ()
    columns: tuple[Int32Array, ...] = ()
    _starts: Int64Array | None = field(default=None, init=False, repr=False)
    _ends: Int64Array | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def starts(self) -> Int64Array | None:
        """(S,) the time of the first click of each session; the maximum for one without clicks."""
        if self._starts is None and self.times is not None:
            self._starts = self._times_at(self.offsets[:-1], np.iinfo(np.int64).max)
        return self._starts

    def ends(self) -> Int64Array | None:
        """(S,) the time of the last click of each session; the minimum for one without clicks."""
        if self._ends is None and self.times is not None:
            self._ends = self._times_at(self.offsets[1:] - 1, np.iinfo(np.int64).min)
        return self._ends

    def copy(self) -> SessionTable:
        """The same clicks with a mask of their own."""
        return replace(self, keep=self.keep.copy())

    def append(self, other: SessionTable) -> SessionTable:
        """The sessions of this table, then those of another one."""
        has_users = self.users is not None and other.users is not None
        has_times = self.times is not None and other.times is not None
        return SessionTable(
            items=np.concatenate([self.items, other.items]),
            times=np.concatenate([self.times, other.times]) if has_times else None,
            offsets=np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            users=np.concatenate([self.users, other.users]) if has_users else None,
            keep=np.concatenate([self.keep, other.keep]),
            out_of_order=self.out_of_order + other.out_of_order,
            columns=tuple(
                np.concatenate(codes) for codes in zip(self.columns, other.columns, strict=True)
            ),
        )

    def remaining_lengths(self) -> Int64Array:
        """(S,) the number of remaining clicks of each session."""
        lengths: Int64Array = self._passes.remaining_lengths(self.keep, self.offsets)
        return lengths

    def item_counts(self, n_items: int, sessions: BoolArray | None = None) -> Int64Array:
        """(n_items,) the number of remaining clicks on each item, in all or in some sessions."""
        counts: Int64Array = self._passes.count_items(
            self.items, self.keep, self.offsets, sessions, n_items
        )
        return counts

    def drop_sessions(self, dropped: BoolArray) -> None:
        """Drop the sessions that are True in `dropped` (S,)."""
        self._passes.drop_sessions(self.keep, self.offsets, dropped)

    def drop_items(self, dropped: BoolArray, sessions: BoolArray | None = None) -> None:
        """Drop the clicks on the items that are True in `dropped`, in all or in some sessions."""
        self._passes.drop_items(self.keep, self.items, self.offsets, dropped, sessions)

    def drop_repeats(self, sessions: BoolArray | None = None) -> None:
        """Drop each click on the item of the previous remaining click of its session."""
        clicks = np.flatnonzero(self.keep)
        session = np.searchsorted(self.offsets, clicks, side="right")
        repeats = session[1:] == session[:-1]
        repeats &= self.items[clicks[1:]] == self.items[clicks[:-1]]
        if sessions is not None:
            repeats &= sessions[session[1:] - 1]
        self.keep[clicks[1:][repeats]] = False

    def shorten(self, session: int, n_clicks: int) -> None:
        """Drop all remaining clicks of a session but the first `n_clicks`."""
        start, stop = self.offsets[session], self.offsets[session + 1]
        clicks = start + np.flatnonzero(self.keep[start:stop])
        self.keep[clicks[n_clicks:]] = False

    def count_repeated_rows(self) -> int:
        """Count the clicks with the item and the time of the previous click of their session."""
        assert self.times is not None
        is_repeated = np.zeros(len(self.items) + 1, dtype=np.bool_)
        is_repeated[1:-1] = self.items[1:] == self.items[:-1]
        is_repeated[1:-1] &= self.times[1:] == self.times[:-1]
        is_repeated[self.offsets] = False
        return int(np.count_nonzero(is_repeated))

    def sample_gaps(self, step: int) -> tuple[Int64Array, BoolArray]:
        """(G,) the gaps in every step-th session, and (G,) whether each is its last gap."""
        assert self.times is not None
        first, stop = self.offsets[:-1][::step], self.offsets[1:][::step]
        counts = np.maximum(stop - first - 1, 0)
        ends = np.cumsum(counts)
        clicks = np.arange(counts.sum()) + np.repeat(first + 1 - (ends - counts), counts)
        is_last = np.zeros(len(clicks), dtype=np.bool_)
        is_last[ends[counts > 0] - 1] = True
        return self.times[clicks] - self.times[clicks - 1], is_last

    def count_repeated_sessions(self, n_train: int) -> tuple[int, int]:
        """Count the long sessions from `n_train` on that an earlier session equals, and all."""
        return count_repeated_sessions(self, n_train)

    def write_part(
        self, part: PartArrays, name: str, output: OutputFolder, shard_clicks: int
    ) -> WrittenPart:
        """Write the remaining clicks of sessions as a part of a store."""
        return write_in_folder(self, part, name, output.path, shard_clicks)

    @property
    def _passes(self) -> Any:
        """The module that counts and drops clicks."""
        return passes_for(len(self.items))

    def _times_at(self, clicks: Int64Array, without: int) -> Int64Array:
        """(S,) the times of a click (S,) of each session; `without` for one without clicks."""
        assert self.times is not None
        is_empty = self.offsets[1:] == self.offsets[:-1]
        times = self.times[np.where(is_empty, 0, clicks)] if len(self.times) else clicks
        times = np.where(is_empty, without, times)
        times.flags.writeable = False
        return times
