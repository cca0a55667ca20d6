"""Writes the arrays of a part of a store, as one shard or as several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nextclick.core.hardware import cpus
from nextclick.core.joined_arrays import array_header, plain_header
from nextclick.core.session_history import offsets_of
from nextclick.data.part_selection import remaining_clicks
from nextclick.data.store_manifest import shard_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.data.sessionize import SessionTable

_MAX_WRITERS = 4  # each selects a bounded number of clicks at once


@dataclass(frozen=True, slots=True)
class ClickColumn:
    """An array with one value per click.

    Attributes:
        values: (E,) integers, for all clicks of the table.
        index: maps the values to those in the file, unless it is None.
    """

    values: AnyArray
    index: Int32Array | None = None

    def of_clicks(self, clicks: Int64Array) -> AnyArray:
        """(C,) what the file contains for the clicks at these indices."""
        values = self.values[clicks]
        return values if self.index is None else self.index[values]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries of the file."""
        return self.values.dtype if self.index is None else self.index.dtype


@dataclass(frozen=True, slots=True)
class PartArrays:
    """The sessions of a part and the arrays to write for them.

    Attributes:
        table: all clicks.
        keep: (E,) bool, False for dropped clicks.
        sessions: (S,) numbers of the sessions, in the order of the output.
        lengths: (S,) kept clicks of each.
        click_columns: file name to array, one value per click.
        session_columns: file name to array (S,).
    """

    table: SessionTable
    keep: BoolArray
    sessions: Int64Array
    lengths: Int64Array
    click_columns: Mapping[str, ClickColumn]
    session_columns: Mapping[str, AnyArray]

    def write(self, folder: Path, shard_clicks: int) -> list[int]:
        """Write the part, shards in parallel.

        Args:
            folder: created for the part.
            shard_clicks: number of clicks above which a part is divided into shards.

        Returns:
            The number of sessions of each shard; empty for a part that is not divided.
        """
        offsets = offsets_of(self.lengths)
        bounds = shard_bounds(offsets, shard_clicks)
        folder.mkdir()
        if len(bounds) == 2:
            self._write_sessions(folder, 0, len(self.sessions), None)
            return []

        def write_shard(number: int) -> None:
            path, start = folder / shard_name(number), bounds[number]
            path.mkdir()
            self._write_sessions(path, start, bounds[number + 1], int(offsets[start]))

        n_shards = len(bounds) - 1
        with ThreadPoolExecutor(min(cpus(), _MAX_WRITERS)) as pool:
            list(pool.map(write_shard, range(n_shards)))
        return np.diff(bounds).tolist()

    def _write_sessions(self, folder: Path, start: int, stop: int, first_click: int | None) -> None:
        """Write the arrays of sessions start..stop - 1.

        Args:
            folder: the folder of the part or of the shard.
            start: first session.
            stop: session after the last one.
            first_click: position of the first click in the part, None for a part without shards.
        """
        offsets = offsets_of(self.lengths[start:stop])
        np.save(folder / "offsets.npy", offsets)
        first_session = None if first_click is None else start
        for name, values in self.session_columns.items():
            with create_array(folder / name, values.dtype, stop - start, first_session) as file:
                file.write(np.ascontiguousarray(values[start:stop]).data)
        n_clicks, columns = int(offsets[-1]), self.click_columns
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    create_array(folder / name, column.dtype, n_clicks, first_click)
                )
                for name, column in columns.items()
            ]
            for clicks in remaining_clicks(self.table, self.keep, self.sessions[start:stop]):
                for file, column in zip(files, columns.values(), strict=True):
                    file.write(column.of_clicks(clicks).data)


def shard_bounds(offsets: Int64Array, shard_clicks: int) -> list[int]:
    """The first session of each shard, and the number of sessions.

    Shards have about equal numbers of clicks, because sessions are not divided.

    >>> shard_bounds(np.array([0, 2, 4, 6, 8, 9]), 5)
    [0, 2, 5]
    """
    n_clicks, n_sessions = int(offsets[-1]), len(offsets) - 1
    n_shards = -(-n_clicks // shard_clicks)
    if n_shards <= 1:
        return [0, n_sessions]
    firsts = [n_clicks * number // n_shards for number in range(1, n_shards)]
    inner: list[int] = np.unique(np.searchsorted(offsets, firsts)).tolist()
    return [0, *(bound for bound in inner if 0 < bound < n_sessions), n_sessions]


def create_array(path: Path, dtype: np.dtype[Any], length: int, first: int | None) -> BinaryIO:
    """Create the file of an array (length,), with its header only.

    Args:
        path: the file.
        dtype: type of the entries.
        length: number of entries.
        first: position of the first entry in the array of the part, None without shards.
    """
    file = path.open("wb")
    if first is None:
        file.write(plain_header(dtype, length))
    else:
        file.write(array_header(dtype, length, first * dtype.itemsize))
    return file
