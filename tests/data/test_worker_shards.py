"""Workers that hold the clicks write the store of the local engine, byte for byte.

The workers are in this process: `fake_spark` has the operations of Spark that the table needs.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_spark import Context, Rows, fake_reader, part_of
from nextclick.core.joined_arrays import plain_header
from nextclick.data.engines import reader_of
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
from nextclick.data.session_table import SessionTable
from nextclick.data.sessionize import Grouping
from nextclick.data.spark.shard_files import ShardFiles
from nextclick.data.spark.shard_job import ShardJob
from nextclick.data.spark.spark_table import SparkTable
from nextclick.data.spark.table_tasks import ShardTask, assemble_blocks
from nextclick.errors import OutputError, SourceError, UnreachableError
from spark_logs import FEW, SMALL, contents, rows, split_files

SHARDS = StoreOptions(shard_clicks=200)
BY_USER = PrepareOptions(
    sessions=SessionOptions(by="user", gap_seconds=600),
    filters=FilterOptions(
        min_item_support=4, min_session_length=2, max_session_length=30, min_user_sessions=2
    ),
    split=SplitOptions(kind="last-days", days=0.1),
)
REPEATS = FilterOptions(min_item_support=3, collapse_repeats=True)
CASES = {
    "sessions": SMALL,
    "kept column": replace(
        SMALL, read=ReadOptions(columns=Columns(user="user_id"), keep_columns=("device",))
    ),
    "users": BY_USER,
    "filters before the split": replace(SMALL, filters=replace(REPEATS, filter_on="all")),
    "filters of training": replace(SMALL, filters=REPEATS),
    "recent samples": replace(SMALL, split=replace(FEW, recent=4, unseen_users="drop")),
    "default split": replace(SMALL, split=SplitOptions()),
    "windows": replace(SMALL, split=SplitOptions(windows=2, days=0.1)),
    "order of the file": replace(SMALL, read=ReadOptions(order="file")),
}


def visits(seed=0):
    """A log whose sessions belong to one user each."""
    return rows(seed, 1_500).with_columns(user_id=pl.col("session_id") % 40)


def by_workers(log, output, monkeypatch, options, **more):
    monkeypatch.setattr("nextclick.data.prepare_store.reader_of", fake_reader)
    prepared = prepare(log, output, options=options, **more)
    monkeypatch.setattr("nextclick.data.prepare_store.reader_of", reader_of)
    return prepared


def assert_same(log, tmp_path, monkeypatch, options, **more):
    options = replace(options, store=SHARDS)
    local = prepare(log, tmp_path / "local", options=options, **more)
    other = by_workers(log, tmp_path / "workers", monkeypatch, options, **more)
    expected, found = contents(tmp_path / "local"), contents(tmp_path / "workers")
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    assert local.report | {"seconds": 0} == other.report | {"seconds": 0}
    assert any("shard-1/" in name for name in expected)


@pytest.mark.parametrize("case", CASES)
def test_the_store_of_workers_is_that_of_the_local_engine(case, tmp_path, monkeypatch):
    options = CASES[case]
    assert_same(split_files(visits(), tmp_path / "log", 2), tmp_path, monkeypatch, options)


@pytest.mark.parametrize("by", ["id", "user"])
def test_a_log_that_is_already_split(by, tmp_path, monkeypatch):
    log = split_files(visits(4), tmp_path / "log", 1)
    # the training part has all of these test sessions, too
    test = split_files(visits(4).filter(pl.col("session_id") < 90), tmp_path / "test", 1)
    options = PrepareOptions(sessions=SessionOptions(by=by))
    assert_same(log, tmp_path, monkeypatch, options, test=test)


def test_one_giant_session_and_a_skewed_user(tmp_path, monkeypatch):
    frame = visits(5).with_columns(
        session_id=pl.when(pl.col("session_id") < 100).then(7).otherwise(pl.col("session_id")),
        user_id=pl.when(pl.col("user_id") < 20).then(3).otherwise(pl.col("user_id")),
    )
    log = split_files(frame, tmp_path / "log", 2)
    assert_same(log, tmp_path / "a", monkeypatch, SMALL)
    assert_same(log, tmp_path / "b", monkeypatch, BY_USER)


sessions_of_items = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1)
operations = st.lists(
    st.tuples(
        st.sampled_from(["sessions", "items", "items of some", "repeats", "shorten"]),
        st.integers(0, 2**32 - 1),
    ),
    max_size=6,
)


@settings(max_examples=40)
@given(sessions_of_items, operations)
def test_drops_and_counts_are_those_of_a_table_in_memory(sessions, steps):
    offsets = np.cumsum([0, *map(len, sessions)])
    items = np.array([item for session in sessions for item in session], np.int32)
    users = np.zeros(len(sessions), np.int32)
    here = SessionTable(items, np.arange(len(items)), offsets, users, np.ones(len(items), bool))
    context = Context()
    blocks = [(part_of(here, s, min(s + 3, len(here))), 0) for s in range(0, len(here), 3)]
    away = SparkTable.of(context, Rows(context, [blocks]), Grouping(None, False, True, True))
    some = np.arange(len(sessions)) % 2 == 0
    for kind, seed in steps:
        rng = np.random.default_rng(seed)
        dropped = rng.random(len(sessions) if kind == "sessions" else 5) < 0.3
        for table in (here, away):
            if kind == "sessions":
                table.drop_sessions(dropped)
            elif kind == "repeats":
                table.drop_repeats(some if seed % 2 else None)
            elif kind == "shorten":
                table.shorten(seed % len(sessions), 2)
            else:
                table.drop_items(dropped, some if kind == "items of some" else None)
        assert np.array_equal(here.remaining_lengths(), away.remaining_lengths())
    assert np.array_equal(here.item_counts(5), away.item_counts(5))
    assert np.array_equal(here.item_counts(5, some), away.item_counts(5, some))


def packed(keys, n_late=0):
    """A row of `sorted_clicks` whose items are 0, 1, …"""
    n = len(keys)
    arrays = [
        np.array(keys, np.int64).tobytes(),
        np.arange(n, dtype=np.int32).tobytes(),
        np.arange(n, dtype=np.int64).tobytes(),
        np.full(n, 4, np.int32).tobytes(),
    ]
    return {"n_late": n_late, "n_other": 1, "arrays": arrays}


def test_a_block_ends_with_a_session():
    rows = [packed([1, 1, 3], n_late=1), packed([3, 3]), packed([3, 5]), packed([8])]
    blocks = list(assemble_blocks(rows, block_clicks=3, max_group=10))
    assert [table.offsets.tolist() for table, _ in blocks] == [[0, 2], [0, 4], [0, 1, 2]]
    assert [table.items.tolist() for table, _ in blocks] == [[0, 1], [2, 0, 1, 0], [1, 0]]
    assert sum(table.out_of_order for table, _ in blocks) == 1
    assert sum(n_other for _, n_other in blocks) == 4
    assert list(assemble_blocks([], 3, 10)) == []


def test_a_session_that_no_worker_can_hold():
    rows = [packed([1, 2, 2]), packed([2, 2]), packed([2, 2])]
    with pytest.raises(SourceError, match="a session or user has more than 5 clicks, which a"):
        list(assemble_blocks(rows, block_clicks=2, max_group=5))


def test_a_folder_that_a_worker_does_not_see(tmp_path):
    files = ShardFiles(str(tmp_path / "store"), is_address=False)
    with pytest.raises(OutputError, match="a worker of Spark does not see this folder; choose"):
        files.write("train/items.npy", b"", memoryview(b""))


def test_a_repeated_task_writes_the_same_file_and_a_failed_one_none(tmp_path, monkeypatch):
    files = ShardFiles(str(tmp_path), is_address=False)
    values = np.arange(5)
    header, data = plain_header(values.dtype, 5), values.data.cast("B")
    digests = [files.write("items.npy", header, data) for _ in range(2)]
    assert digests[0] == digests[1] == files.digest_joined(header, ["items.npy"])
    assert np.load(tmp_path / "items.npy").tolist() == [0, 1, 2, 3, 4]

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nextclick.data.spark.shard_files.sync_path", full)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        files.write("times.npy", header, data)
    assert [path.name for path in tmp_path.iterdir()] == ["items.npy"]


def test_a_shard_that_another_machine_has_written(tmp_path, monkeypatch):
    def write_elsewhere(task, rows, files):
        return {f"{task.folder}/items.npy": "0" * 32}

    log = split_files(visits(), tmp_path / "log", 1)
    monkeypatch.setattr(ShardTask, "write", write_elsewhere)
    with pytest.raises(OutputError, match="has written this file on another machine; choose a"):
        by_workers(log, tmp_path / "store", monkeypatch, replace(SMALL, store=SHARDS))
    assert not list(tmp_path.glob("*store*"))


def test_a_shard_that_lacks_clicks(tmp_path):
    task = ShardTask("train", 0, None, np.array([2, 1]), {}, {"items.npy": np.dtype(np.int32)})
    with pytest.raises(SourceError, match="train received 0 of 3 clicks, because the log changed"):
        task.write([], ShardFiles(str(tmp_path), is_address=False))


@pytest.fixture
def address(bucket, tmp_path, monkeypatch, request):
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path / "cache"))
    return f"s3://logs/{request.node.name}/store"


def test_shards_in_object_storage(address, tmp_path, monkeypatch):
    log = split_files(visits(), tmp_path / "log", 1)
    options = replace(SMALL, store=SHARDS)
    local = prepare(log, tmp_path / "local", options=options).store
    store = by_workers(log, address, monkeypatch, options).store
    assert not (tmp_path / "cache" / "stores").exists()  # nothing is downloaded before it is used
    assert store.manifest["files"] == local.manifest["files"]
    assert store.fingerprint == local.fingerprint
    assert np.array_equal(store.part("train").times, local.part("train").times)
    assert contents(store.path) == contents(local.path)


def test_a_task_that_fails_publishes_nothing(address, tmp_path, monkeypatch):
    import boto3

    def fail(job, folders, offsets, files):
        raise OutputError("the shards cannot be read")

    log = split_files(visits(), tmp_path / "log", 1)
    monkeypatch.setattr(ShardJob, "_undivided", fail)
    for output in (address, tmp_path / "store"):
        with pytest.raises(OutputError, match="the shards cannot be read"):
            by_workers(log, output, monkeypatch, replace(SMALL, store=SHARDS))
    client = boto3.client("s3")
    prefix = address.removeprefix("s3://logs/")
    assert "Contents" not in client.list_objects_v2(Bucket="logs", Prefix=prefix)
    client.close()
    assert not list(tmp_path.glob("*store*"))


def test_an_object_that_is_missing(address):
    with pytest.raises(UnreachableError, match="cannot be read"):
        list(ShardFiles(address, is_address=True).blocks("train/items.npy"))
