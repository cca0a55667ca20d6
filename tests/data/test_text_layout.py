"""Separators, headers, comments, and files without a header."""

import io

import polars as pl
import pytest

from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.sources import BAD, LINE
from nextclick.errors import SourceError


def source_of(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return text_source(lambda: io.BytesIO(data), "log", **options)


def read(text, **options):
    """The columns, and the readable rows as (line, values)."""
    source = source_of(text, **options)
    frames = [frame.select(LINE, *source.columns) for frame in source.frames(source.columns)]
    return source.columns, pl.concat(frames).rows()


ROW = ("session", "item", "time")


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "||", "::", " "])
def test_separators_are_detected(separator):
    rows = [["session", "item", "time"], ["1", "2", "3"], ["1", "x", "4"]]
    text = "".join(f"{separator.join(row)}\n" for row in rows)
    assert read(text) == (ROW, [(2, "1", "2", "3"), (3, "1", "x", "4")])
    assert read(text, separator=separator) == read(text)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a;b;c\n1;2,5;3\n1;2,5;3\n", ("a", "b", "c")),
        ("a,b;c\n1,2\n1,2\n", ("a", "b;c")),
        ("a b\tc\n1 2\t3\n", ("a b", "c")),
        ("session id,item id,time\n1,2,2024-01-01 00:00\n", ("session id", "item id", "time")),
        ('"a,b";c\n"1,2";3\n', ("a,b", "c")),
        ("a|b|c\n1||3\n", ("a", "b", "c")),
        ("sep=;\na;b,b\n1;2\n", ("a", "b,b")),
        ("a\n1\n", ("a",)),
        (" a , b \n1,2\n", ("a", "b")),
        (",a,b\n0,1,2\n", ("column 1", "a", "b")),
        ("a,b,\n1,2,\n", ("a", "b", "column 3")),
        ("0,1,2\n5,6,7\n", ("0", "1", "2")),
        ('a,"b\n2",c\n1,2,3\n', ("a", "b 2", "c")),
        ('a,b,"c\n1,2,3\n1,2,3\n', ("a", "b", '"c')),
    ],
)
def test_headers(text, columns):
    assert source_of(text).columns == columns
    assert source_of(text.replace("\n", "\r\n")).columns == columns


@pytest.mark.parametrize(
    ("before", "note"),
    [
        ("\n\n", None),
        ("# exported\n# property,12\n", "log: skipped lines 1 to 2 before the header"),
        ("Pages and screens\n", "log: skipped line 1 before the header"),
        ("Report,2024\n\nAll users\n", "log: skipped lines 1 to 3 before the header"),
    ],
)
def test_lines_before_the_header(before, note):
    text = before + "session,item,time\n1,2,3\n4,5,6\n"
    source = source_of(text)
    assert source.columns == ROW
    assert source.notes == (() if note is None else (note,))
    line = before.count("\n") + 2
    assert read(text)[1] == [(line, "1", "2", "3"), (line + 1, "4", "5", "6")]


@pytest.mark.parametrize("header", ["#session,item,time", "# session,item,time"])
def test_a_header_in_a_comment(header):
    assert read(f"{header}\n1,2,3\n") == (ROW, [(2, "1", "2", "3")])
    assert source_of("#a,b,c\n1,2,1711929600\n").columns == ("a", "b", "c")


def test_a_row_that_names_columns_is_no_header():
    text = "a,b,c\nsession,item,time\n1,2,3\n"
    assert source_of(text).columns == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("u1\t2024-04-01T00:02:17Z\ta1\tx\n", "session,time,item,_"),
        ("1,10,77,pv,1511544070\n", "session,item,_,_,time"),
        ("1,10\n", "session,item"),
    ],
)
def test_a_file_without_a_header(text, guess):
    message = rf"log, line 1: the file has no header, the first line is a row: .*--columns {guess} "
    with pytest.raises(SourceError, match=message):
        source_of(text)


def test_names_by_position():
    text = "u1,x,10,2024-04-01\nu1,x,11,2024-04-01\n"
    names = ("session", "_", "item", "time")
    columns = ("session", "column 2", "item", "time")
    rows = [(1, "u1", "x", "10", "2024-04-01"), (2, "u1", "x", "11", "2024-04-01")]
    assert read(text, names=names) == (columns, rows)
    assert read(f"# export\n{text}", names=names)[1][0][0] == 2
    with pytest.raises(
        SourceError, match=r"line 1: 4 fields, but 2 names of columns \(a,b\); name"
    ):
        source_of(text, names=("a", "b"))
    with pytest.raises(SourceError, match="duplicate column 'a'"):
        source_of(text, names=("a", "a", "b", "c"))


@pytest.mark.parametrize("header", ["session_id,kind,itemId,timestamp", "session,_,item,time"])
def test_a_header_is_recognized_where_names_are_given(header):
    source = source_of(f"{header}\nu1,x,10,2024-04-01\n", names=("session", "_", "item", "time"))
    assert source.notes == ("log: skipped the header in line 1",)
    assert source.head(["item"], 9)["item"].to_list() == ["10"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (b"\n \n", {}, "log: the file is empty; expected a header and one row per click"),
        (b"a,\xff\n", {}, "log, line 1: invalid UTF-8 at byte 3 of the line; expected a header of"),
        (
            b"\n\na,\0\n",
            {},
            "log, line 3: NUL byte at byte 3 of the line; expected a header of UTF",
        ),
        (b"x" * 2000 + b"\n", {}, "log, line 1: the name of a column has 2,000 letters, it begins"),
        (
            b'a,"b\n1,2\n',
            {"quote": '"'},
            "line 1: the quote of column 2 of the header does not close; close it, or read quotes",
        ),
    ],
)
def test_headers_that_cannot_be_read(text, options, message):
    with pytest.raises(SourceError, match=message):
        source_of(text, **options)


def test_quotes_as_text_or_as_errors():
    text = 'a,b\n1,"x"\n2,"y\n3,z\n'
    assert [row[2] for row in read(text, quote="none")[1]] == ['"x"', '"y', "z"]
    assert [row[2] for row in read(text)[1]] == ["x", '"y', "z"]
    (frame,) = source_of(text, quote='"').frames(["b"])
    assert frame[BAD].to_list() == [None, "the quote of field 2 does not close", None]


def test_rows_have_too_many_or_too_few_fields():
    source = source_of("a,b\n1\n1,2,\n1,2,,\n1,2,,7\n1,2,7\n,,,\n")
    (frame,) = source.frames(["a", "b"])
    assert frame.select("a", "b").rows() == [("1", None), *[("1", "2")] * 2, *[(None, None)] * 2]
    assert frame[BAD].to_list() == [
        None, None, None, *["more fields than the header, got '7'"] * 2
    ]  # fmt: skip
    assert (source.lines.rows, source.lines.blank, source.lines.before_rows) == (5, 1, 1)


def test_the_lines_of_a_record_are_counted_and_rows_keep_their_numbers(monkeypatch):
    monkeypatch.setattr("nextclick.data.readers.line_blocks._SNIFF_BYTES", 8)
    monkeypatch.setattr("nextclick.data.readers.line_blocks.BLOCK_BYTES", 8)
    source = source_of('a,b\n1,"x\ny"\n\n2,z\n3,"open\n4,w\n5,"never\n')
    frame = pl.concat(source.frames(["a", "b"]))
    assert frame.rows() == [
        (0, 2, "1", "x\ny"),
        (2, 5, "2", "z"),
        (3, 6, "3", '"open'),
        (4, 7, "4", "w"),
        (5, 8, "5", '"never'),
    ]
    lines = source.lines
    assert (lines.rows, lines.blank, lines.continuation, lines.before_rows) == (5, 1, 1, 1)
