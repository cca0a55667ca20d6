"""Shards that the workers of Spark write are those of the local engine, byte for byte."""

import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick.data.options import (
    FilterOptions,
    PrepareOptions,
    ReadOptions,
    SessionOptions,
    SplitOptions,
    StoreOptions,
)
from nextclick.data.prepare_store import prepare
from nextclick.data.readers.columns import Columns
from nextclick.errors import OutputError, SourceError
from spark_logs import FEW, SMALL, contents, rows, split_files

pytestmark = pytest.mark.spark

SHARDS = StoreOptions(shard_clicks=400)
SHARDED = replace(SMALL, store=SHARDS)


def visits(seed=0):
    """A log whose sessions belong to one user each, with one giant session and one giant user."""
    session = pl.when(pl.col("session_id") < 100).then(7).otherwise(pl.col("session_id"))
    frame = rows(seed).with_columns(session_id=session)
    user = pl.when(pl.col("session_id") < 200).then(3).otherwise(pl.col("session_id") % 40)
    return frame.with_columns(user_id=user)


def assert_same(log, tmp_path, options, **more):
    options = replace(options, store=SHARDS)
    reports = [
        prepare(log, tmp_path / engine, options=options, engine=engine, **more).report
        for engine in ("local", "spark")
    ]
    local, by_spark = (contents(tmp_path / engine) for engine in ("local", "spark"))
    assert local.keys() == by_spark.keys()
    assert [name for name in local if local[name] != by_spark[name]] == []
    assert reports[0] | {"seconds": 0} == reports[1] | {"seconds": 0}
    assert any("shard-1/" in name for name in local)


def test_sessions_with_a_kept_column(spark, tmp_path):
    read = ReadOptions(columns=Columns(user="user_id"), keep_columns=("device",))
    log = split_files(visits(), tmp_path / "log", 3, "parquet")
    assert_same(log, tmp_path, replace(SMALL, read=read))


def test_users_with_all_filters_and_sliding_windows(spark, tmp_path):
    options = PrepareOptions(
        sessions=SessionOptions(by="user", gap_seconds=600),
        filters=FilterOptions(min_item_support=3, min_user_sessions=2, collapse_repeats=True),
        split=SplitOptions(windows=2, days=0.1),
    )
    assert_same(split_files(visits(1), tmp_path / "log", 3), tmp_path, options)


def test_a_log_that_is_already_split(spark, tmp_path):
    log = split_files(visits(2), tmp_path / "log", 2)
    test = split_files(visits(2).filter(pl.col("session_id") < 150), tmp_path / "test", 1)
    assert_same(log, tmp_path, PrepareOptions(), test=test)


def test_shards_in_object_storage(spark, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path / "cache"))
    for name in os.environ:
        if name.startswith("AWS_"):  # the workers started with the environment of another test
            monkeypatch.setitem(spark.sparkContext.environment, name, os.environ[name])
    log = split_files(visits(3), tmp_path / "log", 2)
    local = prepare(log, tmp_path / "local", options=SHARDED).store
    store = prepare(log, "s3://logs/by-spark/store", options=SHARDED, engine="spark").store
    assert not (tmp_path / "cache" / "stores").exists()
    assert store.manifest["files"] == local.manifest["files"]
    assert np.array_equal(store.part("train").items, local.part("train").items)


def test_a_session_that_no_worker_can_hold(spark, tmp_path, monkeypatch, request):
    monkeypatch.setattr("nextclick.data.spark.spark_parts.BLOCK_CLICKS", 100)
    monkeypatch.setattr("nextclick.data.spark.spark_parts.MAX_GROUP_CLICKS", 300)
    log = split_files(visits(4), tmp_path / "log", 1)
    size = "spark.sql.execution.arrow.maxRecordsPerBatch"
    previous = spark.conf.get(size)
    spark.conf.set(size, 50)
    request.addfinalizer(lambda: spark.conf.set(size, previous))
    with pytest.raises(SourceError, match=r"^--engine spark: a session or user has more than 300"):
        prepare(log, tmp_path / "store", options=SHARDED, engine="spark")
    assert not list(tmp_path.glob("*store*"))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("spark_parts.assemble_blocks", SourceError, "free space on the disks of the workers"),
        ("shard_job.rows_of_shards", OutputError, "train: cannot be written: No space left"),
    ],
)
def test_a_full_disk_of_a_worker_leaves_no_store(
    spark, tmp_path, monkeypatch, target, error, message
):
    def fill(*arguments, **options):
        if error is OutputError:
            raise OutputError("train: cannot be written: No space left on device; free some space")
        raise OSError(28, "No space left on device")

    log = split_files(visits(5), tmp_path / "log", 1)
    monkeypatch.setattr(f"nextclick.data.spark.{target}", fill)
    options = replace(SHARDED, split=FEW)
    with pytest.raises(error, match=message):
        prepare(log, tmp_path / "store", options=options, engine="spark")
    assert not list(tmp_path.glob("*store*"))
