"""Writes a part of a store by the workers of Spark: a shuffle of the clicks to one task per shard.

A task writes the files of one shard and digests them. The driver writes the manifest after the last
task, so that a job that fails leaves no store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.joined_arrays import plain_header
from nextclick.core.session_history import offsets_of
from nextclick.data.part_writer import WrittenPart, shard_bounds
from nextclick.data.spark.shard_files import ShardFiles
from nextclick.data.spark.table_tasks import ShardTask, rows_of_shards
from nextclick.data.store_manifest import shard_name
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from nextclick.core.remote_upload import OutputFolder
    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.data.part_writer import PartArrays
    from nextclick.data.session_table import SessionTable
    from nextclick.data.spark.spark_table import SparkTable

_CLICK_DTYPES = {"items.npy": np.dtype(np.int32), "times.npy": np.dtype(np.int64)}


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A part to write; see `part_writer.write_in_folder`."""

    table: SparkTable
    part: PartArrays
    name: str
    output: OutputFolder
    shard_clicks: int

    def run(self) -> WrittenPart:
        """Write all shards.

        Raises:
            OutputError: a shard cannot be written, or the workers wrote it elsewhere.
        """
        offsets = offsets_of(self.part.lengths)
        bounds = shard_bounds(offsets, self.shard_clicks)
        is_divided = len(bounds) > 2
        folders = [f"{self.name}/{shard_name(n)}" for n in range(len(bounds) - 1)]
        folders = folders if is_divided else [self.name]
        if self.output.address is None:
            for folder in folders:
                (self.output.path / folder).mkdir(parents=True)
        # workers have other working folders
        location = self.output.address or str(self.output.path.absolute())
        files = ShardFiles(location, is_address=self.output.address is not None)
        tasks = [
            (
                number,
                ShardTask(
                    folder,
                    start := bounds[number],
                    int(offsets[start]) if is_divided else None,
                    self.part.lengths[start : bounds[number + 1]],
                    self._session_columns(start, bounds[number + 1]),
                    self._dtypes(),
                ),
            )
            for number, folder in enumerate(folders)
        ]
        digests = self._write(tasks, bounds, files)
        if self.output.address is None:
            self._check(digests)
        if not is_divided:
            return WrittenPart([], digests, digests)
        return WrittenPart(
            np.diff(bounds).tolist(), digests, self._undivided(folders, offsets, files)
        )

    def _session_columns(self, start: int, stop: int) -> dict[str, AnyArray]:
        return {name: values[start:stop] for name, values in self.part.session_columns.items()}

    def _dtypes(self) -> dict[str, Any]:
        names = ("items.npy", "times.npy") if self.part.has_times else ("items.npy",)
        return {name: _CLICK_DTYPES[name] for name in names}

    def _write(
        self, tasks: list[tuple[int, ShardTask]], bounds: list[int], files: ShardFiles
    ) -> dict[str, str]:
        """Move the clicks to the tasks of their shards, and run these."""
        context, n_shards = self.table.blocks.context, len(tasks)
        positions = np.full(len(self.table), -1, dtype=np.int64)
        positions[self.part.sessions] = np.arange(len(self.part.sessions))
        sent = context.broadcast((positions, self.part.of_clicks(), bounds))

        def select(table: SessionTable, first: int) -> list[tuple[int, Any]]:
            positions, part, bounds = sent.value
            in_block: Int64Array = positions[first : first + len(table)]
            return list(rows_of_shards(table, in_block, part, bounds))

        def write(pairs: Any) -> Any:
            found = [value for _, value in pairs]
            task = next(value for value in found if isinstance(value, ShardTask))
            yield task.write((rows for rows in found if rows is not task), files)

        clicks = self.table.map_blocks(select).flatMap(list)
        both = context.union([context.parallelize(tasks, min(n_shards, 1000)), clicks])
        written = both.partitionBy(n_shards, int).mapPartitions(write).collect()
        return {name: digest for found in written for name, digest in sorted(found.items())}

    def _check(self, digests: dict[str, str]) -> None:
        """Check that the files are on this machine.

        Raises:
            OutputError: a file is missing.
        """
        missing = [name for name in digests if not (self.output.path / name).is_file()]
        if missing:
            raise OutputError(
                f"{self.output.path / missing[0]}: a worker of Spark has written this file on "
                "another machine; choose a folder that all machines share, or an address such as "
                "s3://bucket/store"
            )

    def _undivided(
        self, folders: list[str], offsets: Int64Array, files: ShardFiles
    ) -> dict[str, str]:
        """The digests of the arrays of the part as if it had no shards."""
        own = {"offsets.npy": offsets, **self.part.session_columns}
        digests = {name: _digest(values) for name, values in own.items()}
        arrays = [
            (name, plain_header(dtype, int(offsets[-1])), [f"{f}/{name}" for f in folders])
            for name, dtype in self._dtypes().items()
        ]
        context = self.table.blocks.context
        found = context.parallelize(arrays, len(arrays)).map(
            lambda array: (array[0], files.digest_joined(array[1], array[2]))
        )
        digests |= dict(found.collect())
        return {f"{self.name}/{name}": digest for name, digest in digests.items()}


def _digest(values: AnyArray) -> str:
    total = hashlib.blake2b(plain_header(values.dtype, len(values)), digest_size=16)
    total.update(np.ascontiguousarray(values).data)
    return total.hexdigest()
