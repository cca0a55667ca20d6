"""What the workers of Spark do with the sessions of a log: blocks of whole sessions.

A block is a `SessionTable`. Hence a worker counts and drops clicks as the local engine does. What
was dropped so far is a list of drops for all sessions, of which a worker takes those of its block.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nextclick.core.session_history import offsets_of
from nextclick.data.part_writer import header_of, remaining_clicks
from nextclick.data.repeated_sessions import MIN_CLICKS
from nextclick.data.session_table import SessionTable
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nextclick.core.types import AnyArray, BoolArray, Int64Array
    from nextclick.data.part_writer import PartArrays
    from nextclick.data.sessionize import Grouping
    from nextclick.data.spark.shard_files import ShardFiles

BLOCK_CLICKS = 500_000  # a block ends with the session that reaches it
MAX_GROUP_CLICKS = 50_000_000  # a worker holds a session or a user as a whole


class Drop(Protocol):
    """Clicks that are dropped from all sessions."""

    def apply(self, table: SessionTable, first: int) -> None:
        """Drop clicks from a block whose first session has the number `first`."""
        ...


@dataclass(frozen=True, slots=True)
class DropSessions:
    """Sessions that are dropped; (S,) bool."""

    dropped: BoolArray

    def apply(self, table: SessionTable, first: int) -> None:
        """Drop the sessions of the block."""
        table.drop_sessions(_of_block(self.dropped, table, first))


@dataclass(frozen=True, slots=True)
class DropItems:
    """Items (items,) whose clicks are dropped, in all sessions or in some (S,)."""

    dropped: BoolArray
    sessions: BoolArray | None

    def apply(self, table: SessionTable, first: int) -> None:
        """Drop the items from the block."""
        table.drop_items(self.dropped, _of_block(self.sessions, table, first))


@dataclass(frozen=True, slots=True)
class DropRepeats:
    """Repeated clicks that are dropped, in all sessions or in some (S,)."""

    sessions: BoolArray | None

    def apply(self, table: SessionTable, first: int) -> None:
        """Drop the repeated clicks of the block."""
        table.drop_repeats(_of_block(self.sessions, table, first))


@dataclass(frozen=True, slots=True)
class Shorten:
    """A session of which only the first clicks remain."""

    session: int
    n_clicks: int

    def apply(self, table: SessionTable, first: int) -> None:
        """Shorten the session if it is in the block."""
        if first <= self.session < first + len(table):
            table.shorten(self.session - first, self.n_clicks)


def _of_block(sessions: Any, table: SessionTable, first: int) -> Any:
    return None if sessions is None else sessions[first : first + len(table)]


def assemble_blocks(rows: Iterable[Any], block_clicks: int, max_group: int) -> Iterator[Any]:
    """Yield blocks of whole groups from the rows of `click_queries.sorted_clicks`.

    Raises:
        SourceError: a group has more than `max_group` clicks.
    """
    pending: list[list[AnyArray]] = []
    n_pending = n_late = n_other = 0
    for row in rows:
        n_late, n_other = n_late + row["n_late"], n_other + row["n_other"]
        arrays = [
            np.frombuffer(data, np.int64 if number in (0, 2) else np.int32)
            for number, data in enumerate(row["arrays"])
        ]
        pending.append(arrays)
        n_pending += len(arrays[0])
        if n_pending < block_clicks:
            continue
        if pending[0][0][0] == arrays[0][-1]:  # one group so far
            if n_pending > max_group:
                raise SourceError(
                    f"--engine spark: a session or user has more than {max_group:,} clicks, which "
                    "a worker cannot hold; check --session-column and --user-column, or use "
                    "--engine local"
                )
            continue
        columns = [np.concatenate(column) for column in zip(*pending, strict=True)]
        keys = columns[0]
        n_whole = int(np.searchsorted(keys, keys[-1]))  # the last group may continue
        yield _block([column[:n_whole] for column in columns], n_late, n_other)
        n_late = n_other = 0
        pending = [[column[n_whole:] for column in columns]]
        n_pending -= n_whole
    if n_pending:
        columns = [np.concatenate(column) for column in zip(*pending, strict=True)]
        yield _block(columns, n_late, n_other)


def _block(columns: list[AnyArray], n_late: int, n_other: int) -> tuple[SessionTable, int]:
    """The table of the groups, and the clicks of another user than the first of their group."""
    keys, items, times, users, *kept = columns
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    offsets = np.append(starts, np.int64(len(keys)))
    none = np.empty(0, dtype=np.bool_)  # all clicks remain, see `open_block`
    return SessionTable(items, times, offsets, users[starts], none, n_late, tuple(kept)), n_other


def open_block(
    table: SessionTable, grouping: Grouping, drops: Iterable[Drop] = (), first: int = 0
) -> SessionTable:
    """The sessions of a block, without the clicks that were dropped."""
    sessions = grouping.apply(replace(table, keep=np.ones(len(table.items), dtype=np.bool_)))
    for drop in drops:
        drop.apply(sessions, first)
    return sessions


def session_digests(table: SessionTable) -> AnyArray:
    """(R,) the digests of the items of the sessions that `count_repeated_sessions` compares."""
    lengths = np.diff(table.offsets)
    digests = [
        hashlib.blake2b(table.items[table.offsets[s] : table.offsets[s + 1]].data, digest_size=16)
        for s in np.flatnonzero(lengths >= MIN_CLICKS).tolist()
    ]
    return np.frombuffer(b"".join(digest.digest() for digest in digests), np.dtype("V16"))


@dataclass(frozen=True, slots=True)
class ShardRows:
    """Clicks of a block that belong to a shard.

    Attributes:
        sessions: (S,) positions of the sessions in the part, ascending.
        lengths: (S,) their remaining clicks.
        columns: file name to array, one value per click.
    """

    sessions: Int64Array
    lengths: Int64Array
    columns: dict[str, AnyArray]


def rows_of_shards(
    table: SessionTable, positions: Int64Array, part: PartArrays, bounds: list[int]
) -> Iterator[tuple[int, ShardRows]]:
    """Yield the number of each shard that sessions of a block belong to, and their clicks.

    Args:
        table: the block.
        positions: (S,) position of each session of the block in the part, -1 for none.
        part: what is written of the clicks.
        bounds: the first session of each shard, and the number of sessions.
    """
    lengths, columns = table.remaining_lengths(), part.click_columns(table)
    sessions = np.argsort(positions, kind="stable")
    sessions = sessions[positions[sessions] >= 0]
    cuts = np.searchsorted(positions[sessions], bounds)
    for shard, (start, stop) in enumerate(pairwise(cuts.tolist())):
        chosen = sessions[start:stop]
        if not len(chosen):
            continue
        clicks = np.concatenate(list(remaining_clicks(table, chosen)))
        values = {name: column.of_clicks(clicks) for name, column in columns.items()}
        yield shard, ShardRows(positions[chosen], lengths[chosen], values)


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What the driver knows of a shard.

    Attributes:
        folder: path of the shard below the folder of the store.
        first_session: position of the first session in the part.
        first_click: position of the first click in the part; None for a part that is not divided.
        lengths: (S,) remaining clicks of the sessions.
        session_columns: file name to array (S,).
        dtypes: file name to the type of an array with one value per click.
    """

    folder: str
    first_session: int
    first_click: int | None
    lengths: Int64Array
    session_columns: Mapping[str, AnyArray]
    dtypes: Mapping[str, np.dtype[Any]]

    def write(self, rows: Iterable[ShardRows], files: ShardFiles) -> dict[str, str]:
        """Write the files of the shard; return their paths and digests."""
        offsets = offsets_of(self.lengths)
        arrays = {name: np.empty(int(offsets[-1]), dtype) for name, dtype in self.dtypes.items()}
        n_written = 0
        for part in rows:
            begin = offsets[part.sessions - self.first_session]
            shift = begin - offsets_of(part.lengths)[:-1]
            clicks = np.arange(int(part.lengths.sum())) + np.repeat(shift, part.lengths)
            for name, values in part.columns.items():
                arrays[name][clicks] = values
            n_written += len(clicks)
        if n_written != offsets[-1]:
            raise SourceError(
                f"--engine spark: {self.folder} received {n_written:,} of {int(offsets[-1]):,} "
                "clicks, because the log changed while it was read; run the command again"
            )
        first = None if self.first_click is None else self.first_session
        digests = {"offsets.npy": self._write("offsets.npy", offsets, None, files)}
        for name, values in self.session_columns.items():
            digests[name] = self._write(name, values, first, files)
        for name, values in arrays.items():
            digests[name] = self._write(name, values, self.first_click, files)
        return {f"{self.folder}/{name}": digest for name, digest in digests.items()}

    def _write(self, name: str, values: AnyArray, first: int | None, files: ShardFiles) -> str:
        header = header_of(values.dtype, len(values), first)
        data = np.ascontiguousarray(values).data.cast("B")
        return files.write(f"{self.folder}/{name}", header, data)


def over_blocks(
    blocks: Iterable[tuple[tuple[SessionTable, int], int]],
    work: Callable[[SessionTable, int], Any],
    grouping: Grouping,
    drops: Iterable[Drop],
    firsts: Int64Array,
) -> Iterator[Any]:
    """Yield what `work` returns for each block and the number of its first session."""
    for (table, _), number in blocks:
        first = int(firsts[number])
        yield work(open_block(table, grouping, drops, first), first)
