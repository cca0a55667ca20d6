"""Writes the arrays of a part of a store, as one shard or as several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nextclick.core.file_digests import digest_files, list_files
from nextclick.core.hardware import cpus
from nextclick.core.joined_arrays import array_header, plain_header
from nextclick.core.session_history import offsets_of
from nextclick.data.store_manifest import shard_name
from nextclick.data.undivided_digests import undivided_digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextclick.core.types import AnyArray, Int32Array, Int64Array
    from nextclick.data.session_table import SessionTable

_MAX_WRITERS = 4  # each selects a bounded number of clicks at once
_CHUNK_CLICKS = 2_000_000  # clicks selected at once, which bounds the memory of their indices


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
    """The sessions of a part and what is written of them.

    Attributes:
        sessions: (S,) numbers of the sessions, in the order of the output.
        lengths: (S,) remaining clicks of each.
        item_index: (items,) int32, the index of each item code in the vocabulary.
        has_times: whether the times of the clicks are written.
        session_columns: file name to array (S,).
    """

    sessions: Int64Array
    lengths: Int64Array
    item_index: Int32Array
    has_times: bool
    session_columns: Mapping[str, AnyArray]

    def of_clicks(self) -> PartArrays:
        """What `click_columns` needs, without the sessions."""
        none = np.empty(0, dtype=np.int64)
        return replace(self, sessions=none, lengths=none, session_columns={})

    def click_columns(self, table: SessionTable) -> dict[str, ClickColumn]:
        """File name to array, one value per click of a table."""
        columns = {"items.npy": ClickColumn(table.items, self.item_index)}
        if self.has_times:
            assert table.times is not None
            columns["times.npy"] = ClickColumn(table.times)
        return columns


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """The files of a part.

    Attributes:
        sizes: the number of sessions of each shard; empty for a part that is not divided.
        digests: path below the folder of the store to the digest of the file.
        undivided: the digests that the files of the part would have without shards.
    """

    sizes: list[int]
    digests: dict[str, str]
    undivided: dict[str, str] = field(default_factory=dict)


def write_in_folder(
    table: SessionTable, part: PartArrays, name: str, folder: Path, shard_clicks: int
) -> WrittenPart:
    """Write a part to this machine, shards in parallel.

    Args:
        table: the clicks.
        part: the sessions of the part.
        name: the name of the part, which gets a folder.
        folder: the folder of the store.
        shard_clicks: number of clicks above which a part is divided into shards.
    """
    offsets = offsets_of(part.lengths)
    bounds = shard_bounds(offsets, shard_clicks)
    (folder / name).mkdir()
    sizes: list[int] = []
    if len(bounds) == 2:
        _write_sessions(table, part, folder / name, 0, len(part.sessions), None)
    else:

        def write_shard(number: int) -> None:
            path, start = folder / name / shard_name(number), bounds[number]
            path.mkdir()
            _write_sessions(table, part, path, start, bounds[number + 1], int(offsets[start]))

        sizes = np.diff(bounds).tolist()
        with ThreadPoolExecutor(min(cpus(), _MAX_WRITERS)) as pool:
            list(pool.map(write_shard, range(len(sizes))))
    files = [f"{name}/{file}" for file in list_files(folder / name)]
    digests = digest_files(folder, files)
    undivided = undivided_digests(folder, {name: sizes}) if sizes else digests
    return WrittenPart(sizes, digests, undivided)


def _write_sessions(
    table: SessionTable,
    part: PartArrays,
    folder: Path,
    start: int,
    stop: int,
    first_click: int | None,
) -> None:
    """Write the arrays of sessions start..stop - 1.

    Args:
        table: the clicks.
        part: the sessions of the part.
        folder: the folder of the part or of the shard.
        start: first session.
        stop: session after the last one.
        first_click: position of the first click in the part, None for a part without shards.
    """
    offsets = offsets_of(part.lengths[start:stop])
    np.save(folder / "offsets.npy", offsets)
    first_session = None if first_click is None else start
    for name, values in part.session_columns.items():
        with create_array(folder / name, values.dtype, stop - start, first_session) as file:
            file.write(np.ascontiguousarray(values[start:stop]).data)
    n_clicks, columns = int(offsets[-1]), part.click_columns(table)
    with ExitStack() as stack:
        files = [
            stack.enter_context(create_array(folder / name, column.dtype, n_clicks, first_click))
            for name, column in columns.items()
        ]
        for clicks in remaining_clicks(table, part.sessions[start:stop]):
            for file, column in zip(files, columns.values(), strict=True):
                file.write(column.of_clicks(clicks).data)


def remaining_clicks(table: SessionTable, sessions: Int64Array) -> Iterator[Int64Array]:
    """Yield the indices of the kept clicks of `sessions`, a bounded number at a time."""
    lengths = np.diff(table.offsets)[sessions]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    bounds = np.searchsorted(ends, np.arange(0, total, _CHUNK_CLICKS), side="right")
    for start, stop in pairwise([*np.unique(bounds).tolist(), len(sessions)]):
        chunk = slice(start, stop)
        first = table.offsets[:-1][sessions[chunk]]
        n_before = ends[chunk] - lengths[chunk]
        shift = np.repeat(first - n_before, lengths[chunk])
        clicks = np.arange(n_before[0], ends[stop - 1]) + shift
        yield clicks[table.keep[clicks]]


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
    file.write(header_of(dtype, length, first))
    return file


def header_of(dtype: np.dtype[Any], length: int, first: int | None) -> bytes:
    """The header of the file of an array; see `create_array`."""
    if first is None:
        return plain_header(dtype, length)
    return array_header(dtype, length, first * dtype.itemsize)
