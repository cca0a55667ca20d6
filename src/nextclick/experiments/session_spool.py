"""Clicks on disk, grouped into parts of consecutive sessions.

The clicks of a session may be anywhere in a table, but the table does not fit into memory. So each
chunk of clicks is appended to the files of its sessions, and each file is then read as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextclick.core.types import AnyArray, Int32Array, Int64Array

SESSIONS_PER_FILE = 1 << 16
_CLICK = np.dtype([("session", np.int32), ("item", np.int32), ("time", np.int64)])


class SessionSpool:
    """Clicks of numbered sessions in a folder.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def append(self, session: Int64Array, items: Int32Array, times: Int64Array) -> None:
        """Append (n,) clicks; session numbers and times may be in any order.

        Raises:
            OSError: a file cannot be written.
        """
        clicks = np.empty(len(session), dtype=_CLICK)
        clicks["session"], clicks["item"], clicks["time"] = session, items, times
        part = session // SESSIONS_PER_FILE
        if len(part) and (part[1:] < part[:-1]).any():
            order = np.argsort(part, kind="stable")
            clicks, part = clicks[order], part[order]
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        for start, stop in zip(starts, np.append(starts[1:], len(part)), strict=False):
            with self._file(int(part[start])).open("ab") as file:
                file.write(clicks[start:stop].tobytes())

    def parts(self, n_sessions: int) -> Iterator[tuple[int, Int32Array, Int64Array, Int64Array]]:
        """Yield parts of consecutive sessions, in order.

        The clicks of a session are in the order of their times; of equal times, as appended.

        Args:
            n_sessions: number of sessions, those without clicks included.

        Yields:
            The number of the first session; (E,) items; (E,) times; (S + 1,) offsets.
        """
        for first in range(0, n_sessions, SESSIONS_PER_FILE):
            size = min(SESSIONS_PER_FILE, n_sessions - first)
            clicks = self._read(first // SESSIONS_PER_FILE)
            session, times = clicks["session"] - first, clicks["time"]
            step = np.diff(session)
            if ((step < 0) | ((step == 0) & (np.diff(times) < 0))).any():
                order = np.lexsort((times, session))
                clicks, session, times = clicks[order], session[order], times[order]
            offsets = np.zeros(size + 1, dtype=np.int64)
            np.cumsum(np.bincount(session, minlength=size), out=offsets[1:])
            yield first, clicks["item"].copy(), times.copy(), offsets

    def sessions(self, n_sessions: int, n_items: int) -> Sessions:
        """All sessions, in order, as arrays that are mapped from two files of the folder.

        Args:
            n_sessions: number of sessions, those without clicks included.
            n_items: size of the catalog.

        Raises:
            OSError: a file cannot be written.
        """
        lengths, paths = [np.zeros(1, np.int64)], (self._folder / "items", self._folder / "times")
        with paths[0].open("wb") as item_file, paths[1].open("wb") as time_file:
            for _, items, times, offsets in self.parts(n_sessions):
                item_file.write(items.tobytes())
                time_file.write(times.tobytes())
                lengths.append(np.diff(offsets))
        offsets = np.cumsum(np.concatenate(lengths))
        items, times = (
            np.memmap(path, dtype=dtype, mode="r") if offsets[-1] else np.zeros(0, dtype)
            for path, dtype in zip(paths, (np.int32, np.int64), strict=True)
        )
        return Sessions(items, offsets, n_items, times)

    def _read(self, part: int) -> AnyArray:
        file = self._file(part)
        if not file.exists():
            return np.empty(0, dtype=_CLICK)
        clicks = np.fromfile(file, dtype=_CLICK)
        file.unlink()
        return clicks

    def _file(self, part: int) -> Path:
        return self._folder / f"clicks-{part}"


def table_parts(sessions: Sessions) -> Iterator[tuple[int, Int32Array, Int64Array, Int64Array]]:
    """The parts of sessions that have times, as those of a spool."""
    for first in range(0, len(sessions), SESSIONS_PER_FILE):
        part = sessions.slice(first, min(first + SESSIONS_PER_FILE, len(sessions)))
        assert part.times is not None
        yield first, part.items, part.times, part.offsets
