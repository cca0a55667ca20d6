"""Reads the tables of a log with Spark into the parts of a `RawLog`."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.id_notes import PLACEHOLDERS, SAMPLE_IDS, IdSummary
from nextclick.data.spark.click_queries import distinct_ids, group_counts, sorted_clicks
from nextclick.data.spark.file_tasks import (
    FileReport,
    FileTask,
    ReadRequest,
    click_schema,
    kept_name,
    read_files,
)
from nextclick.data.spark.mapped_clicks import MappedClicks
from nextclick.data.spark.spark_table import SparkTable
from nextclick.data.spark.table_tasks import BLOCK_CLICKS, MAX_GROUP_CLICKS, assemble_blocks
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from nextclick.core.types import Progress
    from nextclick.data.click_table import ClickTable
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.log_tables import LogTable
    from nextclick.data.readers.raw_log import RawLog
    from nextclick.data.session_table import SessionTable
    from nextclick.data.sessionize import Grouping

_MAX_PARTITIONS = 10_000  # of the files; more files share partitions
_INTEGER = r"^(0|-?[1-9][0-9]*)$"


@dataclass(slots=True)
class SparkPart:
    """One part of a log that Spark has sorted; see `log_parts.LogPart`.

    Attributes:
        n_clicks: number of clicks.
        n_other_user: clicks by another user than the first user of their session.
        clicks: frame of the clicks.
        group: `session` or `user`, the column of the groups.
        groups: encoder of the users if they are the groups, else None.
        table: the sorted clicks; None without clicks, and if the workers hold them.
        blocks: RDD of the sorted clicks, see `table_tasks.assemble_blocks`; None if they are here.
    """

    n_clicks: int
    clicks: Any
    group: str
    groups: IdEncoder | None
    n_other_user: int = 0
    table: SessionTable | None = None
    blocks: Any = None

    def sessions(self, grouping: Grouping) -> ClickTable:
        """Return the clicks by session, sorted by time."""
        if self.blocks is not None:
            return SparkTable.of(self.blocks.context, self.blocks, grouping)
        assert self.table is not None
        return grouping.apply(self.table)

    def id_summary(self) -> IdSummary:
        """Return what the notes on ids need to know about the groups."""
        from pyspark.sql import functions as sql

        counts = group_counts(self.clicks, self.group).persist()
        try:
            number = sql.col("id").try_cast("long")
            is_integer = sql.col("id").rlike(_INTEGER) & number.isNotNull()
            n_ids, are_integers = counts.agg(sql.count("*"), sql.every(is_integer)).first()
            names = [name for name in PLACEHOLDERS if not are_integers or name in ("0", "-1")]
            found = counts.where(sql.lower("id").isin(names)).orderBy("first").collect()
            if self.groups is not None:
                ids, n_ids = self.groups.ids(), len(self.groups)
                are_integers = ids.dtype.is_integer()
                sample = ids.head(SAMPLE_IDS)
            else:
                rows = counts.orderBy("first").limit(SAMPLE_IDS).select("id").toArrow()
                sample = pl.DataFrame(rows)["id"]
                sample = sample.cast(pl.Int64) if are_integers else sample
        finally:
            counts.unpersist()
        placeholders = [(int(r["id"]) if are_integers else r["id"], r["n_clicks"]) for r in found]
        return IdSummary(n_ids, self.n_clicks, sample, placeholders)


class SparkReader:
    """Reads logs with a Spark session; the arrays of the clicks are files until the end.

    Args:
        spark: the session.
        by_workers: the clicks stay with the workers, which write the shards.
    """

    def __init__(self, spark: Any, *, by_workers: bool = False) -> None:
        self._spark = spark
        self._by_workers = by_workers
        self._cached: list[Any] = []
        self._folder = tempfile.TemporaryDirectory(
            prefix="nextclick-spark-", ignore_cleanup_errors=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()
        if error is None:  # else the session may have ended
            self._release()

    def read_parts(
        self,
        log: RawLog,
        tables: Sequence[Sequence[LogTable]],
        events: tuple[str, ...] | None,
        read: ReadOptions,
        progress: Progress,
    ) -> None:
        """Append the clicks of all tables to the log; see `raw_log.read_parts`.

        Raises:
            SourceError: a row cannot be parsed and bad rows are not skipped, or a file cannot be
                read by another process.
        """
        progress("read", 0, None)
        self._release()
        request = ReadRequest(read, events, tuple(log.kept), log.bad_rows.skip)
        rows, reports = self._read(tables, request)
        n_clicks = [0] * len(tables)
        for report in reports:
            report.raise_error()
            n_clicks[report.part] += report.n_clicks
            log.add(report.counts, report.bad_rows)
        progress("read", log.counts.rows, None)
        codes = self._encode(log, rows)
        for part, n in enumerate(n_clicks):
            progress("sort", part, len(n_clicks))
            log.parts.append(self._sorted(log, rows, part, n, codes))

    def _read(
        self, tables: Sequence[Sequence[LogTable]], request: ReadRequest
    ) -> tuple[Any, list[FileReport]]:
        """Return the frame of the clicks, and the reports in the order of the files."""
        from pyspark.sql import functions as sql
        from pyspark.sql.pandas.types import from_arrow_schema

        pairs = [(part, table) for part, of_part in enumerate(tables) for table in of_part]
        tasks = [
            (_pickled(FileTask(number, part, table)),) for number, (part, table) in enumerate(pairs)
        ]
        context = self._spark.sparkContext
        files = context.parallelize(tasks, min(len(tasks), _MAX_PARTITIONS)).toDF("task binary")
        schema = from_arrow_schema(click_schema(request.keep))
        rows = self._persisted(files.mapInArrow(partial(read_files, request=request), schema))
        found = rows.where(sql.col("report").isNotNull()).select("report").collect()
        reports: list[FileReport] = [pickle.loads(row["report"]) for row in found]  # noqa: S301
        return rows.where(sql.col("report").isNull()), sorted(reports, key=lambda r: r.number)

    def _encode(self, log: RawLog, rows: Any) -> dict[str, pl.Series]:
        """Encode the ids in the order of their first occurrence; return them by column."""
        columns = {"item": log.items}
        if log.by_user:
            log.users = IdEncoder()
        if log.users is not None:
            columns["user"] = log.users
        columns |= {kept_name(i): encoder for i, encoder in enumerate(log.kept.values())}
        codes = {}
        for name, encoder in columns.items():
            codes[name] = distinct_ids(rows, name)
            encoder.encode(codes[name])
        return codes

    def _sorted(
        self, log: RawLog, rows: Any, part: int, n_clicks: int, codes: dict[str, pl.Series]
    ) -> SparkPart:
        clicks = rows.where(rows["part"] == part)
        group = "user" if log.by_user else "session"
        result = SparkPart(n_clicks, clicks, group, log.users if log.by_user else None)
        if not n_clicks:
            return result
        kept = [kept_name(number) for number in range(len(log.kept))]
        if self._by_workers:
            rows = sorted_clicks(clicks, group, codes, kept, whole_groups=True).rdd
            assemble = partial(
                assemble_blocks, block_clicks=BLOCK_CLICKS, max_group=MAX_GROUP_CLICKS
            )
            result.blocks = self._persisted(rows.mapPartitions(assemble))
            result.n_other_user = result.blocks.map(lambda block: block[1]).sum()
            return result
        n_groups = len(codes["user"]) if log.by_user else None
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        target = MappedClicks(folder, n_clicks, len(kept), n_groups)
        packed = self._persisted(sorted_clicks(clicks, group, codes, kept))
        packed.count()  # sorts on all workers; the iterator below fetches one partition at a time
        for row in packed.toLocalIterator():
            target.append(row["arrays"], n_late=row["n_late"], n_other=row["n_other"])
        result.n_other_user, result.table = target.n_other, target.table()
        return result

    def _persisted(self, frame: Any) -> Any:
        from pyspark import StorageLevel

        frame = frame.persist(StorageLevel.DISK_ONLY)
        self._cached.append(frame)
        return frame

    def _release(self) -> None:
        for frame in self._cached:
            frame.unpersist()
        self._cached.clear()


def _pickled(task: FileTask) -> bytes:
    """Serialize a task for a worker.

    Raises:
        SourceError: its source is bound to this process.
    """
    from pyspark import cloudpickle

    try:
        return bytes(cloudpickle.dumps(task))
    except (TypeError, pickle.PicklingError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"{task.table.source.label}: --engine spark cannot send this source to its workers "
            f"({error}); use --engine local"
        ) from error
