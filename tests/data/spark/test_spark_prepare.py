"""The store of `prepare --engine spark` is that of the local engine, byte for byte."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest

from nextclick.data.options import (
    FilterOptions,
    PrepareOptions,
    ReadOptions,
    SessionOptions,
    SplitOptions,
)
from nextclick.data.prepare_store import prepare
from nextclick.data.readers.columns import Columns
from nextclick.errors import ConfigError, EmptyLogError, SourceError
from nextclick.simulation.simulate import simulate_frame
from nextclick.simulation.simulation_config import SimulationConfig
from spark_logs import SMALL, contents, rows, split_files

pytestmark = pytest.mark.spark


def both(source, tmp_path, options=SMALL, **more):
    """Prepare with both engines, check that all files and reports are equal; return the report."""
    prepared = [
        prepare(source, tmp_path / engine, options=options, engine=engine, **more)
        for engine in ("local", "spark")
    ]
    local, by_spark = (contents(tmp_path / engine) for engine in ("local", "spark"))
    assert local.keys() == by_spark.keys()
    assert [name for name in local if local[name] != by_spark[name]] == []
    reports = [p.report | {"seconds": 0} for p in prepared]
    assert reports[0] == reports[1]
    return reports[0]


def with_text_ids(frame):
    return frame.with_columns(pl.format("i{}", "item_id").alias("item_id"))


def test_sessions_with_equal_times_in_several_files(spark, tmp_path):
    report = both(split_files(rows(), tmp_path / "log", 5), tmp_path)
    assert any("earlier than the previous click" in text for text in report["warnings"])
    assert any("another user" in text for text in report["warnings"])


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_typed_files_with_text_ids_and_a_kept_column(spark, tmp_path, suffix):
    log = split_files(with_text_ids(rows(1)), tmp_path / "log", 3, suffix)
    options = replace(
        SMALL, read=ReadOptions(columns=Columns(user="user_id"), keep_columns=("device",))
    )
    both(log, tmp_path, options)


def test_users_cut_by_inactivity_with_iterated_filters(spark, tmp_path):
    options = PrepareOptions(
        sessions=SessionOptions(by="user", gap_seconds=600),
        filters=FilterOptions(
            min_item_support=4, min_session_length=2, max_session_length=30, min_user_sessions=2
        ),
        split=SplitOptions(kind="last-days", days=0.1),
    )
    both(split_files(rows(2), tmp_path / "log", 4), tmp_path, options)


def test_all_filters_before_the_split_and_collapsed_repeats(spark, tmp_path):
    filters = FilterOptions(min_item_support=3, collapse_repeats=True, filter_on="all")
    both(split_files(rows(3), tmp_path / "log", 2), tmp_path, replace(SMALL, filters=filters))


def test_windows_and_a_simulated_log(spark, tmp_path):
    frame = simulate_frame(SimulationConfig(events=4_000, items=60, users=150, categories=5))
    log = split_files(frame.sample(fraction=1.0, shuffle=True, seed=1), tmp_path / "log", 3)
    both(log, tmp_path, replace(SMALL, split=SplitOptions(windows=2, days=1)))


def test_a_log_that_is_already_split(spark, tmp_path):
    log = split_files(rows(4), tmp_path / "log", 2)
    test = split_files(rows(5, 600), tmp_path / "test", 2)
    both(log, tmp_path, PrepareOptions(sessions=SessionOptions(by="user")), test=test)


def test_session_ids_that_users_share_become_keys(spark, tmp_path):
    frame = rows(6).with_columns(session_id=pl.col("session_id") % 20)
    report = both(split_files(frame, tmp_path / "log", 2), tmp_path)
    assert any("a session is a user and an id" in text for text in report["warnings"])


def test_bad_rows_odd_quotes_placeholders_and_missing_ids(spark, tmp_path):
    folder = split_files(with_text_ids(rows(7)).drop("user_id"), tmp_path / "log", 2)
    first = folder / "part-00.csv"
    odd = '0,"a ""quoted"" item\nin two lines",1700000000,\n0,i1,never,\n\n0,NA,1700000001,\n'
    first.write_text(first.read_text() + odd)
    (folder / "part-01.csv").write_text(
        "session_id,item_id,timestamp,device\n"
        + "".join(f"unknown,i{n % 4},{1_700_000_000 + n},\n" for n in range(200))
        + 'x,5" disk,1700000009,tablet\nx,i2\n'
    )
    report = both(folder, tmp_path, replace(SMALL, read=ReadOptions(on_bad_row="skip")))
    assert (report["bad_rows"], report["blank_rows"], report["continuation_lines"]) == (3, 1, 1)
    assert any("'unknown' has 200 clicks" in text for text in report["warnings"])


def test_selected_event_types(spark, tmp_path):
    frame = rows(8).with_columns(event=pl.col("item_id").cast(pl.String).replace("1", "cart"))
    frame = frame.with_columns(event=pl.when(pl.col("event") == "cart").then(pl.lit("cart")))
    frame = frame.with_columns(event=pl.col("event").fill_null("view"))
    read = ReadOptions(events=("view",))
    report = both(split_files(frame, tmp_path / "log", 2), tmp_path, replace(SMALL, read=read))
    assert report["other_event_rows"] > 0


def test_one_giant_session_and_a_log_without_times(spark, tmp_path):
    giant = rows(9).with_columns(
        session_id=pl.when(pl.col("session_id") < 300).then(7).otherwise(1).cast(pl.Int64)
    )
    log = split_files(pl.concat([giant, rows(10)]).drop("user_id"), tmp_path / "log", 2)
    both(log, tmp_path / "a")
    both(log, tmp_path / "b", replace(SMALL, read=ReadOptions(order="file")))


def test_the_first_bad_row_ends_the_preparation_as_in_the_local_engine(spark, tmp_path):
    folder = split_files(rows(11), tmp_path / "log", 3)
    for number in (1, 2):
        path = folder / f"part-{number:02}.csv"
        path.write_text(path.read_text() + f"1,2,3,time-{number},\n")
    messages = []
    for engine in ("local", "spark"):
        with pytest.raises(SourceError, match=r"part-01\.csv, row 1001") as raised:
            prepare(folder, tmp_path / "store", options=SMALL, engine=engine)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert not list(tmp_path.glob("*store*"))


def test_a_log_of_which_no_click_is_left(spark, tmp_path):
    folder = split_files(rows(12), tmp_path / "log", 1)
    (tmp_path / "test.csv").write_text("session_id,item_id,timestamp,event\n1,2,1700000000,view\n")
    messages = []
    for engine in ("local", "spark"):
        read = ReadOptions(events=("buy",))
        with pytest.raises(EmptyLogError, match="no click is left of") as raised:
            prepare(
                tmp_path / "test.csv",
                tmp_path / "store",
                options=replace(SMALL, read=read),
                engine=engine,
            )
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert folder.exists()


def test_the_address_of_the_active_session(spark, tmp_path):
    log = split_files(rows(13), tmp_path / "log", 1)
    with pytest.raises(ConfigError, match=r"a Spark session of this process uses local\[2\]"):
        prepare(log, tmp_path / "store", options=SMALL, engine="spark", master="local[3]")


def test_a_job_that_fails_leaves_no_store(spark, tmp_path, monkeypatch):
    def crash(batches, request):
        for _ in batches:
            yield 1 / 0

    def miss_a_module(batches, request):
        import absent_module  # noqa: F401

        yield from batches

    log = split_files(rows(14), tmp_path / "log", 1)
    monkeypatch.setattr("nextclick.data.spark.spark_parts.read_files", crash)
    with pytest.raises(SourceError, match=r"Spark failed: .*division by zero"):
        prepare(log, tmp_path / "store", options=SMALL, engine="spark")
    monkeypatch.setattr("nextclick.data.spark.spark_parts.read_files", miss_a_module)
    with pytest.raises(SourceError, match=r"a worker has No module named 'absent_module'"):
        prepare(log, tmp_path / "store", options=SMALL, engine="spark")
    assert not list(tmp_path.glob("*store*"))


def test_the_command_starts_and_stops_its_own_session(tmp_path):
    log = split_files(rows(15), tmp_path / "log", 2)
    command = [
        sys.executable,
        "-m",
        "nextclick",
        "prepare",
        log,
        "-o",
        tmp_path / "spark",
        "--json",
    ]
    options = ["--min-item-support", "2", "--split", "fraction", "--fraction", "0.2"]
    engine = ["--engine", "spark", "--master", "local[2]"]
    result = subprocess.run(
        [*command, *options, *engine],
        capture_output=True,
        check=True,
        env={**os.environ, "SPARK_LOCAL_DIRS": str(tmp_path)},
    )
    prepare(log, tmp_path / "local", options=SMALL)
    assert contents(tmp_path / "local") == contents(tmp_path / "spark")
    assert json.loads(result.stdout)["report"]["rows"] == 3_000
