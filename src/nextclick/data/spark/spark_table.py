"""The sessions of a log whose clicks stay with the workers of Spark: its `ClickTable`.

The driver holds what there is one value of per session, and counts per item. What is dropped is a
list of drops; a worker applies it to its blocks whenever something is counted or written. Without
`drop_repeats`, which depends on the order of the drops, the list has few entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.data.spark.shard_job import ShardJob
from nextclick.data.spark.table_tasks import (
    Drop,
    DropItems,
    DropRepeats,
    DropSessions,
    Shorten,
    open_block,
    over_blocks,
    session_digests,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.remote_upload import OutputFolder
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.part_writer import PartArrays, WrittenPart
    from nextclick.data.session_table import SessionTable
    from nextclick.data.sessionize import Grouping


@dataclass(frozen=True, slots=True)
class SparkBlocks:
    """Blocks of whole groups of clicks in the order of the log.

    Attributes:
        context: the Spark context.
        pairs: RDD of the blocks, see `table_tasks.assemble_blocks`.
        grouping: how groups become sessions.
        firsts: (blocks + 1,) number of the first session of each block, and of sessions.
    """

    context: Any
    pairs: Any
    grouping: Grouping
    firsts: Int64Array

    def map(self, work: Callable[[SessionTable, int], Any], drops: list[Drop]) -> Any:
        """RDD of what `work` returns for each block and the number of its first session."""
        sent = self.context.broadcast((drops, self.firsts))
        grouping = self.grouping

        def run(blocks: Any) -> Any:
            drops, firsts = sent.value
            return over_blocks(blocks, work, grouping, drops, firsts)

        return self.pairs.zipWithIndex().mapPartitions(run)


@dataclass(slots=True)
class SparkTable:
    """S sessions whose clicks stay with the workers; see `ClickTable`."""

    blocks: SparkBlocks
    offsets: Int64Array
    users: Int32Array | None
    columns: tuple[Int32Array, ...]
    out_of_order: int
    first_times: Int64Array | None
    last_times: Int64Array | None
    drops: list[Drop] = field(default_factory=list)
    lengths: Int64Array | None = None

    @classmethod
    def of(cls, context: Any, pairs: Any, grouping: Grouping) -> SparkTable:
        """Describe the sessions of blocks; `pairs` is an RDD of `assemble_blocks`."""

        def describe(block: tuple[SessionTable, int]) -> Any:
            table, _ = block
            sessions = open_block(table, grouping)
            lengths = np.diff(sessions.offsets)
            times = sessions.starts(), sessions.ends()
            return lengths, sessions.users, sessions.columns, times, table.out_of_order

        found = pairs.mapPartitions(lambda blocks: map(describe, blocks)).collect()
        lengths, users, columns, times, n_late = zip(*found, strict=True)
        firsts = np.cumsum([0, *map(len, lengths)])
        starts, ends = zip(*times, strict=True)
        return cls(
            SparkBlocks(context, pairs, grouping, firsts),
            np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
            _joined(users),
            tuple(np.concatenate(codes) for codes in zip(*columns, strict=True)),
            sum(n_late),
            _joined(starts),
            _joined(ends),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def starts(self) -> Int64Array | None:
        """(S,) the time of the first click of each session."""
        return self.first_times

    def ends(self) -> Int64Array | None:
        """(S,) the time of the last click of each session."""
        return self.last_times

    def copy(self) -> SparkTable:
        """The same clicks with drops of their own."""
        return replace(self, drops=list(self.drops))

    def append(self, other: SparkTable) -> SparkTable:
        """The sessions of this table, then those of another one, before any drop."""
        own, added = self.blocks, other.blocks
        pairs = own.context.union([own.pairs, added.pairs])
        firsts = np.concatenate([own.firsts, added.firsts[1:] + own.firsts[-1]])
        return SparkTable(
            SparkBlocks(own.context, pairs, own.grouping, firsts),
            np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            _joined((self.users, other.users)),
            tuple(map(np.concatenate, zip(self.columns, other.columns, strict=True))),
            self.out_of_order + other.out_of_order,
            _joined((self.first_times, other.first_times)),
            _joined((self.last_times, other.last_times)),
        )

    def remaining_lengths(self) -> Int64Array:
        """(S,) the number of remaining clicks of each session."""
        if self.lengths is None:
            found = self.map_blocks(lambda table, _: table.remaining_lengths().astype(np.int32))
            self.lengths = np.concatenate(found.collect()).astype(np.int64)
        return self.lengths

    def item_counts(self, n_items: int, sessions: BoolArray | None = None) -> Int64Array:
        """(n_items,) the number of remaining clicks on each item, in all or in some sessions."""
        sent = self.blocks.context.broadcast(sessions)

        def count(table: SessionTable, first: int) -> Int64Array:
            chosen = None if sent.value is None else sent.value[first : first + len(table)]
            return table.item_counts(n_items, chosen)

        found: Int64Array = self.map_blocks(count).mapPartitions(_sum).treeReduce(np.add)
        return found

    def drop_sessions(self, dropped: BoolArray) -> None:
        """Drop the sessions that are True in `dropped` (S,)."""
        lengths = None if self.lengths is None else np.where(dropped, 0, self.lengths)
        for number, drop in _commuting(self.drops):
            if isinstance(drop, DropSessions):
                self.drops[number] = DropSessions(drop.dropped | dropped)
                break
        else:
            self.drops.append(DropSessions(dropped))
        self.lengths = lengths

    def drop_items(self, dropped: BoolArray, sessions: BoolArray | None = None) -> None:
        """Drop the clicks on the items that are True in `dropped`, in all or in some sessions."""
        self.lengths = None
        for number, drop in _commuting(self.drops):
            if isinstance(drop, DropItems) and drop.sessions is sessions:
                self.drops[number] = DropItems(drop.dropped | dropped, sessions)
                return
        self.drops.append(DropItems(dropped, sessions))

    def drop_repeats(self, sessions: BoolArray | None = None) -> None:
        """Drop each click on the item of the previous remaining click of its session."""
        self._drop(DropRepeats(sessions))

    def shorten(self, session: int, n_clicks: int) -> None:
        """Drop all remaining clicks of a session but the first `n_clicks`."""
        self._drop(Shorten(session, n_clicks))

    def count_repeated_rows(self) -> int:
        """Count the clicks with the item and the time of the previous click of their session."""
        return sum(self._log(lambda table, _: table.count_repeated_rows()).collect())

    def sample_gaps(self, step: int) -> tuple[Int64Array, BoolArray]:
        """(G,) the gaps in every step-th session, and (G,) whether each is its last gap."""
        found = self._log(lambda table, first: _sample(table, first, step)).collect()
        gaps, is_last = zip(*found, strict=True)
        return np.concatenate(gaps), np.concatenate(is_last)

    def count_repeated_sessions(self, n_train: int) -> tuple[int, int]:
        """Count the long sessions from `n_train` on that an earlier session equals, and all."""
        # a block belongs to one part of the log
        test = np.concatenate(
            self._log(
                lambda table, first: session_digests(table) if first >= n_train else _NONE
            ).collect()
        )
        sent = self.blocks.context.broadcast(np.unique(test))

        def known(table: SessionTable, first: int) -> Any:
            return np.intersect1d(session_digests(table), sent.value) if first < n_train else _NONE

        found = np.concatenate(self._log(known).collect())
        return int(np.isin(test, found).sum()), len(test)

    def write_part(
        self, part: PartArrays, name: str, output: OutputFolder, shard_clicks: int
    ) -> WrittenPart:
        """Write the remaining clicks of sessions as a part of a store, by the workers."""
        return ShardJob(self, part, name, output, shard_clicks).run()

    def map_blocks(self, work: Callable[[SessionTable, int], Any]) -> Any:
        """RDD of what `work` returns for each block without the dropped clicks."""
        return self.blocks.map(work, self.drops)

    def _log(self, work: Callable[[SessionTable, int], Any]) -> Any:
        """RDD of what `work` returns for each block with all clicks."""
        return self.blocks.map(work, [])

    def _drop(self, drop: Drop) -> None:
        self.drops.append(drop)
        self.lengths = None


_NONE = np.empty(0, np.dtype("V16"))


def _joined(arrays: Any) -> Any:
    """The concatenated arrays; None if one is missing."""
    return None if any(array is None for array in arrays) else np.concatenate(arrays)


def _commuting(drops: list[Drop]) -> list[tuple[int, Drop]]:
    """The last drops, newest first, whose order does not matter."""
    found: list[tuple[int, Drop]] = []
    for number in range(len(drops) - 1, -1, -1):
        if not isinstance(drops[number], DropSessions | DropItems):
            break
        found.append((number, drops[number]))
    return found


def _sum(arrays: Any) -> Any:
    total = None
    for array in arrays:
        total = array if total is None else total + array
    return [] if total is None else [total]


def _sample(table: SessionTable, first: int, step: int) -> tuple[Int64Array, BoolArray]:
    """`sample_gaps` of the sessions of a block whose numbers are multiples of `step`."""
    skipped = min(-first % step, len(table))
    return replace(table, offsets=table.offsets[skipped:]).sample_gaps(step)
