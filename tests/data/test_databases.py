import sqlite3
from contextlib import closing

import polars as pl
import pytest

from nextclick.data.readers.open_file import scan_file
from nextclick.errors import SourceError


def sqlite_file(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


CLICKS = "CREATE TABLE clicks (session_id, item_id, ts REAL)"
ROW = "INSERT INTO clicks VALUES ('s', 'i', 1)"


def rows_of(source, *columns):
    return pl.concat(source.frames(columns)).select(columns).rows()


def test_a_table_of_sqlite_is_text_with_every_digit(tmp_path):
    path = sqlite_file(
        tmp_path / "log.csv",
        CLICKS,
        "INSERT INTO clicks VALUES (1, 9223372036854775807, 1700000000.123456)",
        "INSERT INTO clicks VALUES ('a', x'ff00', NULL)",
        "INSERT INTO clicks VALUES (NULL, 12.0, 5)",
    )
    source = scan_file(path)
    assert source.label == f"{path}, table clicks"
    rows = rows_of(source, "session_id", "item_id", "ts")
    assert rows[0][:2] == ("1", "9223372036854775807")
    assert float(rows[0][2]) == 1700000000.123456
    assert rows[1:] == [("a", "ff00", None), (None, "12.0", "5.0")]


def test_the_table_is_the_only_one_with_the_columns_of_a_log(tmp_path):
    path = sqlite_file(tmp_path / "a.db", CLICKS, "CREATE TABLE items (item_id, title)", ROW)
    assert rows_of(scan_file(path), "item_id") == [("i",)]
    assert scan_file(path, table="items").columns == ("item_id", "title")


def test_a_view_is_a_table(tmp_path):
    path = sqlite_file(
        tmp_path / "a.db",
        'CREATE TABLE "raw ""1""" (s, i, t)',
        """INSERT INTO "raw ""1\""" VALUES ('s', 'i', 1)""",
        'CREATE VIEW log AS SELECT s AS session, i AS item, t AS ts FROM "raw ""1"""',
    )
    assert rows_of(scan_file(path), "item") == [("i",)]
    assert rows_of(scan_file(path, table='raw "1"'), "i") == [("i",)]


def test_a_table_that_cannot_be_chosen_is_rejected(tmp_path):
    path = sqlite_file(tmp_path / "a.db", CLICKS, "CREATE TABLE old (session_id, item_id, ts)")
    message = (
        r"a\.db: the database has the tables clicks, old; name the one of the clicks with --ta"
    )
    with pytest.raises(SourceError, match=message):
        scan_file(path)
    with pytest.raises(
        SourceError, match=r"there is no table 'click': did you mean clicks\?; name"
    ):
        scan_file(path, table="click")
    empty = sqlite_file(tmp_path / "b.db", CLICKS, "DROP TABLE clicks")
    with pytest.raises(SourceError, match=r"b\.db: the database has no table; check the file"):
        scan_file(empty)


def test_a_damaged_sqlite_database_is_rejected(tmp_path):
    path = sqlite_file(tmp_path / "a.db", CLICKS, ROW)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(
        SourceError, match=r"a\.db: the SQLite database cannot be read: .*; check th"
    ):
        scan_file(path)


def test_a_damaged_page_of_rows_is_rejected(tmp_path):
    path = sqlite_file(tmp_path / "a.db", CLICKS, *[ROW] * 2000)
    source = scan_file(path)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(bytes(content))
    with pytest.raises(SourceError, match=r"a\.db: the SQLite database cannot be read"):
        rows_of(source, "item_id")


def test_a_table_of_duckdb_is_read_in_several_passes(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "log"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE clicks AS SELECT uuid() AS session_id, range AS item_id, "
            "{'at': to_timestamp(range)} AS event, range AS ts FROM range(200000)"
        )
        connection.execute("CREATE TABLE other (x INTEGER)")
    source = scan_file(path)
    assert source.label == f"{path}, table clicks"
    assert source.columns == ("session_id", "item_id", "event.at", "ts")
    assert source.head(["item_id"], 3).rows() == [(0,), (1,), (2,)]
    for _ in range(2):
        assert sum(frame["item_id"].sum() for frame in source.frames(["item_id"])) == 19999900000
    assert len(source.head(["session_id"], 1).item()) == 36


def test_a_damaged_duckdb_database_is_rejected(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "log"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE clicks (x INTEGER)")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        SourceError, match=r"log: the DuckDB database cannot be read: .*; close the p"
    ):
        scan_file(path)


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    (tmp_path / "log").write_bytes(b"\0" * 8 + b"DUCK" + b"\0" * 100)
    message = r"log: the package duckdb is missing; .*pip install 'nextclick\[duckdb"
    with pytest.raises(SourceError, match=message):
        scan_file(tmp_path / "log")
