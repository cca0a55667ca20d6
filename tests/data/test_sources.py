import gzip
import re

import pandas as pd
import polars as pl
import pytest

from nextclick.data.readers.frames import scan_frame
from nextclick.data.readers.open_file import scan_file
from nextclick.data.readers.sources import BAD, LINE, ROW
from nextclick.errors import ConfigError, SourceError


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(source):
    frames = [frame.select(*source.columns) for frame in source.frames(source.columns)]
    return pl.concat(frames).rows()


def test_the_location_of_a_row(tmp_path):
    source = scan_file(write(tmp_path / "a.csv", "x,y\n1,2\n"))
    assert source.location(2, 4) == f"{tmp_path / 'a.csv'}, row 3 (line 4)"
    assert scan_frame(pl.DataFrame({"x": [1]})).location(0) == "frame, row 1"


def test_all_columns_of_a_text_file_are_text_with_row_and_line_numbers(tmp_path):
    source = scan_file(write(tmp_path / "a.csv", 'x,y\n007,"a,b"\n,\n1,2,3,4\n5\n'))
    (frame,) = source.frames(["x", "y"])
    assert frame.select(ROW, LINE, "x", "y", BAD).rows() == [
        (0, 2, "007", "a,b", None),
        # the second row is blank
        (2, 4, None, None, "more fields than the header, got '3'"),
        (3, 5, "5", None, None),
    ]


def test_derived_and_renamed_columns_are_read_with_the_others():
    source = scan_frame(pl.DataFrame({"a": [1, 2], "b": [10, 20]}))
    total = source.with_column("total", pl.Int64(), ("a", "b"), pl.col("a") + pl.col("b"))
    assert total.rename({"a": "first"}).head(["total", "first"], 1).rows() == [(11, 1)]
    assert total.columns == ("a", "b", "total")


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_detected_or_specified(tmp_path, separator):
    path = write(tmp_path / "log.txt", f"x{separator}y\n1{separator}2\n")
    assert rows_of(scan_file(path)) == rows_of(scan_file(path, separator=separator)) == [("1", "2")]


@pytest.mark.parametrize("separator", ["", "é", "::::::::::", '"', "\n"])
def test_an_invalid_separator(tmp_path, separator):
    path = write(tmp_path / "log.csv", "x,y\n1,2\n")
    message = "separator must be 1 to 8 ASCII characters without .*, or tab, or whitespace, got "
    with pytest.raises(ConfigError, match=message + re.escape(repr(separator))):
        scan_file(path, separator=separator)


def test_columns_without_a_name_keep_their_position(tmp_path):
    path = write(tmp_path / "log.csv", "x,,y,\n1,2,3,4\n")
    assert scan_file(path).columns == ("x", "column 2", "y", "column 4")


def test_duplicate_columns_are_rejected(tmp_path):
    path = write(tmp_path / "log.csv", "x,y,x\n1,2,3\n")
    with pytest.raises(SourceError, match=r"log\.csv: duplicate column 'x'; rename one of the two"):
        scan_file(path)
    with pytest.raises(SourceError, match="frame: duplicate column 'x'"):
        scan_frame(pd.DataFrame([[1, 2]], columns=["x", "x"]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"a\.csv: the file is empty; expected a header and one row per click"),
        ("a.parquet", b"", "the file is empty"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("a.csv.gz", gzip.compress(b"x,y\n1,2\n", mtime=0)[:12], r"a\.csv\.gz: cannot be read: "),
        (
            "a.csv.gz",
            gzip.compress(b"x,y\n", mtime=0)[:10] + b"\xff" * 9,
            r"a\.csv\.gz: cannot be read: ",
        ),
        ("a.parquet", b"PAR1 nothing PAR1", r"a\.parquet: cannot be read: "),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    with pytest.raises(SourceError, match=message):
        scan_file(write(tmp_path / name, content))


@pytest.mark.parametrize("values", [["a", None, "b"], ["a", 1, None], ["a", 2.5, True]])
def test_pandas_object_columns_become_text(values):
    source = scan_frame(pd.DataFrame({"x": pd.Series(values, dtype=object)}))
    assert rows_of(source) == [(None if v is None else str(v),) for v in values]


def test_a_frame_may_have_any_column_name():
    source = scan_frame(pl.DataFrame({ROW: [7], "x": [1]}))
    (frame,) = source.frames(["x"])
    assert frame.rows(named=True) == [{ROW: 0, "x": 1}]
