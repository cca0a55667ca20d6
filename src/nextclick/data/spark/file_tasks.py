"""Reads files on the workers of Spark, with the readers of the local engine.

A task is a file with its columns and its time format, as the driver found them. A worker yields its
clicks as Arrow batches, and a last row with the report of the file: counts, bad rows, and the error
that ended the reading. The driver raises the first error in the order of the files, which is the
one that the local engine would have raised.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from nextclick import errors
from nextclick.data.readers.click_rows import BadRows, ReadCounts, read_chunks
from nextclick.data.readers.kept_columns import frame_name
from nextclick.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.log_tables import LogTable

FILE_BITS = 40  # the number of a click: its file in the high bits, its row in the low ones
_BATCH_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to read.

    Attributes:
        number: number of the file in the log, from 0.
        part: 0, or 1 for the test of a pre-split log.
        table: the file, its columns and its time format.
    """

    number: int
    part: int
    table: LogTable


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What the workers read from each file.

    Attributes:
        read: options of `prepare`.
        events: event types that are clicks, None for all.
        keep: names of the kept columns.
        skip: drop bad rows; else the first one ends the reading of its file.
        folder: folder of the driver, which relative paths start from.
    """

    read: ReadOptions
    events: tuple[str, ...] | None
    keep: tuple[str, ...]
    skip: bool
    folder: str = field(default_factory=os.getcwd)


@dataclass(slots=True)
class FileReport:
    """What a worker found in a file.

    Attributes:
        number: number of the file.
        part: part of the file.
        n_clicks: number of clicks.
        counts: numbers of rows.
        bad_rows: bad rows, with examples.
        error: class and message of the error that ended the reading, None without one.
    """

    number: int
    part: int
    n_clicks: int = 0
    counts: ReadCounts = field(default_factory=ReadCounts)
    bad_rows: BadRows = field(default_factory=BadRows)
    error: tuple[str, str] | None = None

    def raise_error(self) -> None:
        """Raise the error that ended the reading.

        Raises:
            InputError: there is one.
        """
        if self.error is not None:
            name, message = self.error
            raise getattr(errors, name)(message)


def click_schema(keep: Sequence[str]) -> pa.Schema:
    """The columns of the clicks; `report` is null for a click and set in the last row of a file.

    Ids are text on the workers. The canonical text of an integer is equal to another exactly if the
    integers are equal, so the driver can decide at the end whether all ids are integers.
    """
    names = ("session", "user", "item", *(kept_name(number) for number in range(len(keep))))
    return pa.schema(
        [("number", pa.int64()), ("part", pa.int32()), ("time", pa.int64())]
        + [(name, pa.string()) for name in names]
        + [("report", pa.binary())]
    )


def kept_name(number: int) -> str:
    """The name of a kept column in the frames of Spark."""
    return f"kept_{number}"


def read_files(batches: Iterator[pa.RecordBatch], request: ReadRequest) -> Iterator[pa.RecordBatch]:
    """Read the files whose pickled tasks are in the column `task`; runs on a worker."""
    schema = click_schema(request.keep)
    if Path(request.folder).is_dir():
        os.chdir(request.folder)
    for batch in batches:
        for task in batch.column("task").to_pylist():
            yield from _read_file(pickle.loads(task), request, schema)  # noqa: S301


def _read_file(task: FileTask, request: ReadRequest, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    report = FileReport(task.number, task.part, bad_rows=BadRows(skip=request.skip))
    try:
        for chunk in read_chunks(
            task.table.source,
            task.table.columns,
            task.table.times,
            keep=request.keep,
            events=request.events,
            read=request.read,
            bad_rows=report.bad_rows,
            counts=report.counts,
        ):
            first = (task.number << FILE_BITS) + report.n_clicks
            report.n_clicks += chunk.height
            yield from _as_arrow(chunk, first, task.part, request.keep, schema)
        report.counts.add_lines(task.table.source)
    except InputError as error:
        hint = ""
        if isinstance(error.__cause__, FileNotFoundError):
            hint = "; each worker of Spark must see the file at the same path"
        report.error = (type(error).__name__, f"{error}{hint}")
    last: dict[str, Any] = {name: [None] for name in schema.names}
    last |= {"part": [task.part], "report": [pickle.dumps(report)]}
    yield pa.RecordBatch.from_pydict(last, schema=schema)


def _as_arrow(
    chunk: pl.DataFrame, first: int, part: int, keep: Sequence[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    def text(name: str) -> pl.Expr:
        if name not in chunk.columns:
            return pl.lit(None, pl.String)
        # as `IdEncoder` does once one id is not an integer
        return pl.col(name).cast(pl.String).str.strip_chars()

    frame = chunk.select(
        number=pl.int_range(first, first + chunk.height),
        part=pl.lit(part, pl.Int32),
        time=pl.col("time"),
        session=text("session"),
        user=text("user"),
        item=text("item"),
        **{kept_name(i): text(frame_name(name)) for i, name in enumerate(keep)},
        report=pl.lit(None, pl.Binary),
    )
    yield from frame.to_arrow().cast(schema).to_batches(max_chunksize=_BATCH_ROWS)
