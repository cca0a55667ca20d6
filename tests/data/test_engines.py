"""Engines without Spark itself: checks before it starts, and what its workers run."""

import io
import pickle
import socket
import sys

import numpy as np
import polars as pl
import pytest

from nextclick.core.java_machine import check_java
from nextclick.data.engines import check_engine
from nextclick.data.options import PrepareOptions, ReadOptions, SessionOptions
from nextclick.data.prepare_store import prepare
from nextclick.data.readers.click_rows import BadRows, ReadCounts
from nextclick.data.readers.columns import Columns
from nextclick.data.readers.log_tables import LogTable
from nextclick.data.readers.open_file import scan_file
from nextclick.data.readers.remote_files import find_remote_files
from nextclick.data.readers.timestamps import detect_time_format
from nextclick.data.spark import spark_session
from nextclick.data.spark.file_tasks import FILE_BITS, FileTask, ReadRequest, click_schema
from nextclick.data.spark.file_tasks import _read_file as read_file
from nextclick.data.spark.mapped_clicks import MappedClicks
from nextclick.data.spark.spark_parts import _pickled
from nextclick.errors import ConfigError, SourceError

LOG = "session_id,item_id,timestamp\n1,a,1700000000\n1,b,1700000001\n2,a,1700000002\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sparc", None, ["a.csv"], "table"), "engine must be local or spark, got 'sparc'"),
        (("local", "local[2]", ["a.csv"], "table"), "needs --engine spark; add it, or omit"),
        (("spark", None, ["a.csv"], "srgnn"), "--engine spark cannot read --format srgnn"),
        (("spark", None, [pl.DataFrame()], "table"), "cannot read a table in memory"),
        (("spark", None, ["-"], "table"), "cannot read the standard input; pass files"),
    ],
)
def test_an_engine_that_cannot_read_the_sources(arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_engine(*arguments)


def test_prepare_checks_the_engine_before_it_creates_anything(tmp_path):
    with pytest.raises(ConfigError, match="engine must be local or spark"):
        prepare(tmp_path / "a.csv", tmp_path / "store", engine="flink")
    assert list(tmp_path.iterdir()) == []


def test_without_pyspark_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SourceError, match=r"pip install 'nextclick\[spark\]'"):
        prepare(tmp_path / "a.csv", tmp_path / "store", engine="spark")
    assert list(tmp_path.iterdir()) == []


def test_without_java_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SourceError, match="there is no java in JAVA_HOME"):
        check_java("--engine spark")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="needs Java 17 or later, and there is no java on the"):
        check_java("--engine spark")


@pytest.mark.parametrize(
    ("master", "message"),
    [
        ("host:7077", r"--master must be local\[N\], spark://HOST:PORT"),
        ("spark://host", "'host' has no port; write HOST:PORT"),
    ],
)
def test_an_address_of_another_form(master, message):
    with pytest.raises(ConfigError, match=message):
        spark_session.check_master(master)


def test_a_cluster_that_does_not_answer():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]  # bound, but nobody listens
        with pytest.raises(SourceError, match="no connection within 10 seconds"):
            spark_session.check_master(f"spark://127.0.0.1:{port}")


@pytest.mark.parametrize("form", ["spark://127.0.0.1:1,127.0.0.1:{}", "k8s://https://127.0.0.1:{}"])
def test_one_server_of_a_cluster_that_answers_is_enough(form):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        spark_session.check_master(form.format(server.getsockname()[1]))
    spark_session.check_master("local[*]")
    spark_session.check_master("yarn")
    spark_session.check_master(None)


@pytest.fixture
def spark_settings(tmp_path, monkeypatch):
    """No setting of Spark, in a folder of its own."""
    for name in ("PYSPARK_SUBMIT_ARGS", "SPARK_DRIVER_MEMORY", "SPARK_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setattr(spark_session, "free_bytes", lambda: 8 << 30)
    return tmp_path / "spark-defaults.conf"


def test_a_local_java_machine_has_half_of_the_free_memory(spark_settings, monkeypatch):
    assert spark_session.local_heap("local[2]") == "4096m"
    assert spark_session.local_heap(None) == "4096m"
    monkeypatch.setattr(spark_session, "free_bytes", lambda: 1 << 30)
    assert spark_session.local_heap("local[2]") == "1024m"  # what Spark has without a setting
    monkeypatch.setattr(spark_session, "free_bytes", lambda: None)
    assert spark_session.local_heap("local[2]") is None


def test_the_memory_of_a_cluster_is_left_to_its_configuration(spark_settings):
    assert spark_session.local_heap("spark://host:7077") is None
    spark_settings.write_text("# local\nspark.master  spark://host:7077\n")
    assert spark_session.local_heap(None) is None


@pytest.mark.parametrize(
    "arguments", ["--driver-memory 2g pyspark-shell", "--conf spark.driver.memory=2g pyspark-shell"]
)
def test_configured_memory_stays(arguments, spark_settings, monkeypatch):
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", arguments)
    assert spark_session.local_heap("local[2]") is None
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.driver.memoryOverhead=2g pyspark-shell")
    assert spark_session.local_heap("local[2]") == "4096m"
    monkeypatch.setenv("SPARK_DRIVER_MEMORY", "2g")
    assert spark_session.local_heap("local[2]") is None
    monkeypatch.delenv("SPARK_DRIVER_MEMORY")
    spark_settings.write_text("spark.driver.memory=2g\n")
    assert spark_session.local_heap("local[2]") is None


def test_the_reason_in_the_message_of_spark_is_the_last_cause():
    text = "Job aborted:\n\nCaused by: java.io.IOException: No space left on device\n\tat x.y"
    assert spark_session._reason(text) == "java.io.IOException: No space left on device"
    assert spark_session._reason("\n  Python worker failed\n") == "Python worker failed"
    assert spark_session._reason("") == "no message"


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited", "`java -version` prints 17 or later"),
        ("java.io.IOException: No space left on device", "free space on the disks of the workers"),
        ("java.lang.OutOfMemoryError: Java heap space", "raise the memory of the workers and of"),
        ("All masters are unresponsive! Giving up.", "that the cluster has the version of PySpark"),
        ("java.lang.IllegalStateException: x", "check the memory and the disks of the driver"),
    ],
)
def test_a_failure_of_spark_has_a_remedy(failure, remedy):
    assert remedy in spark_session._remedy(f"Job aborted:\nCaused by: {failure}")


def table_of(path):
    times = detect_time_format(pl.Series(["1700000000"]), None)
    columns = Columns(session="session_id", item="item_id", time="timestamp")
    return LogTable(scan_file(path), columns, times)


def read(table, skip=False):
    request = ReadRequest(ReadOptions(), None, (), skip=skip)
    batches = list(read_file(FileTask(3, 1, table), request, click_schema(())))
    clicks = [row for batch in batches[:-1] for row in batch.to_pylist()]
    return clicks, pickle.loads(batches[-1].to_pylist()[0]["report"])


def test_a_worker_numbers_the_clicks_by_file_and_row(tmp_path):
    (tmp_path / "a.csv").write_text(LOG + "\n3,c,never\n")
    clicks, report = read(table_of(tmp_path / "a.csv"), skip=True)
    assert [click["number"] - (3 << FILE_BITS) for click in clicks] == [0, 1, 2]
    assert [(c["session"], c["item"], c["part"]) for c in clicks] == [
        ("1", "a", 1),
        ("1", "b", 1),
        ("2", "a", 1),
    ]
    assert (report.number, report.part, report.n_clicks, report.error) == (3, 1, 3, None)
    assert (report.counts.rows, report.counts.blank, report.bad_rows.count) == (4, 1, 1)


def test_a_worker_reports_the_error_of_a_row(tmp_path):
    (tmp_path / "a.csv").write_text(LOG + "3,c,never\n")
    _, report = read(table_of(tmp_path / "a.csv"))
    with pytest.raises(SourceError, match=r"row 4 \(line 5\), column 'timestamp': expected"):
        report.raise_error()


def test_a_file_that_a_worker_does_not_have(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"session_id": [1], "item_id": [2], "timestamp": ["1700000000"]}).write_parquet(
        path
    )
    table = table_of(path)
    path.unlink()
    _, report = read(table)
    with pytest.raises(SourceError, match="each worker of Spark must see the file at the same"):
        report.raise_error()


def test_counts_and_bad_rows_of_files_add_up():
    counts = ReadCounts(rows=3, blank=1, continuation=2, other_events=1)
    counts.event_types.update({"view": 1})
    other = ReadCounts(rows=4, blank=2, continuation=3, other_events=2)
    other.event_types.update({"view": 2, "cart": 1})
    counts.add(other)
    assert (counts.rows, counts.blank, counts.continuation, counts.other_events) == (7, 3, 5, 3)
    assert counts.event_types == {"view": 3, "cart": 1}
    bad = BadRows(skip=True, count=4, examples=[{"row": n} for n in range(4)])
    bad.add(BadRows(skip=True, count=9, examples=[{"row": n} for n in range(5, 10)]))
    assert (bad.count, [e["row"] for e in bad.examples]) == (13, [0, 1, 2, 3, 5])


def arrays(keys, items, times, users):
    return [
        np.array(keys, np.int64).tobytes(),
        np.array(items, np.int32).tobytes(),
        np.array(times, np.int64).tobytes(),
        np.array(users, np.int32).tobytes(),
    ]


def test_a_session_may_continue_in_the_next_batch(tmp_path):
    clicks = MappedClicks(tmp_path, 5, 0, None)
    clicks.append(arrays([0, 0, 4], [1, 2, 1], [10, 20, 5], [7, 7, -1]), n_late=1, n_other=0)
    clicks.append(arrays([4, 9], [3, 1], [6, 1], [-1, 8]), n_late=0, n_other=2)
    table = clicks.table()
    assert table.offsets.tolist() == [0, 2, 4, 5]
    assert table.users.tolist() == [7, -1, 8]
    assert (table.items.tolist(), table.times.tolist()) == ([1, 2, 1, 3, 1], [10, 20, 5, 6, 1])
    assert (table.out_of_order, clicks.n_other) == (1, 2)


def test_users_without_clicks_in_a_part_have_an_empty_row(tmp_path):
    clicks = MappedClicks(tmp_path, 3, 0, 4)
    clicks.append(arrays([0, 2, 2], [1, 1, 1], [1, 2, 3], [0, 2, 2]), n_late=0, n_other=0)
    assert clicks.table().offsets.tolist() == [0, 1, 1, 3, 3]


def test_a_source_of_this_process_alone_cannot_be_sent():
    pytest.importorskip("pyspark", reason="needs PySpark; run make test-spark")
    stream = io.BufferedReader(io.BytesIO(b"a"))
    source = scan_file_of(stream)
    with pytest.raises(SourceError, match="cannot send this source to its workers"):
        _pickled(FileTask(0, 0, LogTable(source, Columns(), None)))


def scan_file_of(stream):
    from nextclick.data.readers.sources import LogSource

    return LogSource("stream", {}, lambda columns: iter([stream.read()]))


def test_an_s3a_address_is_one_of_s3(bucket):
    bucket("spark/a.csv", LOG.encode())
    (file,) = find_remote_files("s3a://logs/spark/a.csv", (".csv",))
    assert file.label == "s3://logs/spark/a.csv"


def test_the_default_engine_reads_in_this_process(tmp_path):
    (tmp_path / "a.csv").write_text(LOG * 5)
    options = PrepareOptions(sessions=SessionOptions(gap_seconds=60))
    with pytest.raises(ConfigError, match="needs --engine spark"):
        prepare(tmp_path / "a.csv", tmp_path / "s", options=options, master="yarn")
