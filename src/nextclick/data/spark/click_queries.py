"""Spark queries over the clicks that the workers read: ids, and clicks sorted by session and time.

The number of a click is that of its file and its row, so it has the order in which the local engine
reads. Hence equal times have the same order, and the first occurrence of an id is the same.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BROADCAST_IDS = 1_000_000  # more ids are joined by a shuffle
_CODE = "code"
_PACKED = "n_late long, n_other long, arrays array<binary>"


def distinct_ids(clicks: Any, column: str) -> pl.Series:
    """Return the ids of a column in the order of their first occurrence."""
    from pyspark.sql import functions as sql

    ids = clicks.where(sql.col(column).isNotNull()).groupBy(column)
    return pl.DataFrame(ids.agg(sql.min("number").alias("first")).toArrow()).sort("first")[column]


def group_counts(clicks: Any, column: str) -> Any:
    """Return a frame with the columns `id`, `first` and `n_clicks` of each group."""
    from pyspark.sql import functions as sql

    groups = clicks.groupBy(sql.col(column).alias("id"))
    return groups.agg(sql.min("number").alias("first"), sql.count("*").alias("n_clicks"))


def sorted_clicks(
    clicks: Any,
    group: str,
    codes: Mapping[str, pl.Series],
    kept: Sequence[str],
    *,
    whole_groups: bool = False,
) -> Any:
    """Return the clicks of a part in the order of a session table, packed into few rows.

    Args:
        clicks: the clicks of the part.
        group: `session` or `user`, the column of the groups.
        codes: ids by code of the columns that are encoded: `item`, `user` if there are users, and
            the kept columns.
        kept: names of the kept columns.
        whole_groups: one worker has all clicks of a group; else a large group is divided.

    Returns:
        Rows with `n_late`, the clicks that are earlier than the previous click of their group in
        the log, `n_other`, the clicks of another user than the first of their group, and `arrays`:
        int64 keys of the groups, int32 items, int64 times, int32 users, and int32 values of each
        kept column. Keys ascend in the order of the groups: the code of a user, or the number of
        the first click of a session.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as sql

    in_file = Window.partitionBy(group).orderBy("number")
    so_far = in_file.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    whole = in_file.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    by_user, has_users = group == "user", "user" in codes
    is_late = sql.col("time") < sql.lag("time").over(in_file)
    columns = [sql.col("number"), sql.col("time"), sql.col("item"), *map(sql.col, kept)]
    columns.append(sql.coalesce(is_late, sql.lit(False)).alias("late"))
    if by_user:
        columns += [sql.col("user"), sql.lit(False).alias("other")]
    else:
        columns.append(sql.first("number").over(so_far).alias("key"))
        user = sql.first("user", ignorenulls=True).over(whole) if has_users else sql.lit(None)
        is_other = sql.coalesce(sql.col("user") != user, sql.lit(False))
        columns += [user.cast("string").alias("user"), is_other.alias("other")]
    frame = clicks.select(*columns)
    for name, ids in codes.items():
        frame = _encoded(frame, name, ids)
    if by_user:
        frame = frame.withColumn("key", sql.col("user").cast("long"))
    if not has_users:
        frame = frame.withColumn("user", sql.lit(-1).cast("int"))
    order = ("key", "time", "number")
    if whole_groups:
        frame = frame.repartitionByRange("key").sortWithinPartitions(*order)
    else:  # the number is in the key of the ranges
        frame = frame.orderBy(*order)
    frame = frame.select("key", "item", "time", "user", *kept, "late", "other")
    return frame.mapInArrow(partial(_packed, n_arrays=4 + len(kept)), _PACKED)


def _encoded(frame: Any, name: str, ids: pl.Series) -> Any:
    """Replace the ids of a column by their codes, and null by -1."""
    from pyspark.sql import functions as sql

    table = pa.table(
        {"id": ids.cast(pl.String).to_arrow().cast(pa.string())}
        | {_CODE: pa.array(np.arange(len(ids), dtype=np.int32))}
    )
    codes = frame.sparkSession.createDataFrame(table)
    if len(ids) <= _BROADCAST_IDS:
        codes = sql.broadcast(codes)
    joined = frame.join(codes, frame[name] == codes["id"], "left").drop("id")
    code = sql.coalesce(sql.col(_CODE), sql.lit(-1)).cast("int")
    return joined.withColumn(name, code).drop(_CODE)


def _packed(batches: Iterator[pa.RecordBatch], n_arrays: int) -> Iterator[pa.RecordBatch]:
    """Yield one row with the bytes of the arrays for each batch; runs on a worker."""
    schema = pa.schema(
        [("n_late", pa.int64()), ("n_other", pa.int64()), ("arrays", pa.list_(pa.binary()))]
    )
    for batch in batches:
        columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        row = {
            "n_late": [int(np.count_nonzero(columns[-2]))],
            "n_other": [int(np.count_nonzero(columns[-1]))],
            "arrays": [[column.tobytes() for column in columns[:n_arrays]]],
        }
        yield pa.RecordBatch.from_pydict(row, schema=schema)
