"""Receives sorted clicks batch by batch as a session table whose arrays are files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.data.session_table import SessionTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import AnyArray, Int64Array


class MappedClicks:
    """The arrays of a session table with one value per click, as memory-mapped files.

    Args:
        folder: an empty folder for the files, which may be deleted while the table is in use.
        n_clicks: number of clicks.
        n_kept: number of kept columns.
        n_groups: number of groups if the keys are their codes, None if a new key is a new group.
    """

    def __init__(self, folder: Path, n_clicks: int, n_kept: int, n_groups: int | None) -> None:
        self._items = _create(folder / "items.npy", np.int32, n_clicks)
        self._times = _create(folder / "times.npy", np.int64, n_clicks)
        self._kept = [
            _create(folder / f"kept-{number}.npy", np.int32, n_clicks) for number in range(n_kept)
        ]
        self._lengths = None if n_groups is None else np.zeros(n_groups, dtype=np.int64)
        self._starts: list[Int64Array] = []
        self._users: list[AnyArray] = []
        self._last_key = -1
        self._n_clicks = 0
        self.n_late = 0
        self.n_other = 0

    def append(self, arrays: Sequence[bytes], *, n_late: int, n_other: int) -> None:
        """Append a batch; see `click_queries.sorted_clicks`."""
        key, time = np.frombuffer(arrays[0], np.int64), np.frombuffer(arrays[2], np.int64)
        item, user, *kept = (
            np.frombuffer(arrays[i], np.int32) for i in (1, *range(3, len(arrays)))
        )
        rows = slice(self._n_clicks, self._n_clicks + len(key))
        self._items[rows], self._times[rows] = item, time
        for target, values in zip(self._kept, kept, strict=True):
            target[rows] = values
        if self._lengths is not None:
            self._lengths += np.bincount(key, minlength=len(self._lengths))
        else:
            starts = np.flatnonzero(np.diff(key, prepend=self._last_key))
            self._starts.append(starts + self._n_clicks)
            self._users.append(user[starts])
            self._last_key = int(key[-1]) if len(key) else self._last_key
        self._n_clicks += len(key)
        self.n_late += n_late
        self.n_other += n_other

    def table(self) -> SessionTable:
        """The clicks by group and time, as `gather_sessions` returns them."""
        if self._lengths is None:
            offsets = np.append(np.concatenate(self._starts), np.int64(self._n_clicks))
            users = np.concatenate(self._users)
        else:
            offsets = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
            users = np.arange(len(self._lengths), dtype=np.int32)
        keep = np.ones(self._n_clicks, dtype=np.bool_)
        return SessionTable(
            self._items, self._times, offsets, users, keep, self.n_late, tuple(self._kept)
        )


def _create(path: Path, dtype: Any, length: int) -> AnyArray:
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(length,))
    return np.asarray(mapped)  # a plain array on the same pages
