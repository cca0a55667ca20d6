import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.data.readers.aligned_text import has_aligned_columns, tab_separated, with_tabs
from nextclick.data.readers.delimited_text import text_source
from nextclick.data.readers.line_blocks import read_first_lines
from nextclick.data.readers.sources import BAD, LINE

TABLE = b"""\
  session_id   item_id    timestamp
           1   shoe      1711929600

           1   red-hat   1711929601
          12   "a  b"    1711929602
"""


def opener(data):
    return lambda: io.BytesIO(data)


def rows(data, **options):
    source = text_source(opener(data), "log", **options)
    found = [row for frame in source.frames(source.columns) for row in frame.iter_rows(named=True)]
    assert source.lines.rows + source.lines.blank + source.lines.before_rows == data.count(b"\n")
    return source.columns, found


@pytest.mark.parametrize("separator", [None, "whitespace"])
def test_aligned_columns_are_read(separator):
    columns, found = rows(TABLE, separator=separator)
    assert columns == ("session_id", "item_id", "timestamp")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("1", "shoe", "1711929600"),
        ("1", "red-hat", "1711929601"),
        ("12", "a  b", "1711929602"),
    ]
    assert [row[LINE] for row in found] == [2, 4, 5]


def test_a_row_with_another_number_of_fields_is_bad():
    data = TABLE + b"           2             1711929603\n           3  x  y  4\n"
    *good, short, long = rows(data)[1]
    assert all(row[BAD] is None for row in good)
    assert short[BAD] == "fewer fields than the header, so it is not known which one is missing"
    assert long[BAD] == "more fields than the header, got '4'"
    quoted = TABLE + b'           2  "x" \n'
    assert rows(quoted)[1][-1][BAD] == short[BAD]


@pytest.mark.parametrize(
    "data",
    [
        b"session_id,item_id  \n1,  2\n",
        b"session_id item_id\n1 2\n",  # one space is the separator
        b"title of  the log\n1  2\n",
        b"session_id   item_id\n1   a b c\n2   d e\n",
        b"session_id   item_id\n",
    ],
)
def test_other_text_has_no_aligned_columns(data):
    assert not has_aligned_columns(opener(data), None)


def test_aligned_columns_without_a_header_need_names():
    data = b"1   shoe  1711929600\n1   hat   1711929601\n"
    assert has_aligned_columns(opener(data), ("session", "item", "time"))
    assert not has_aligned_columns(opener(data), ("session", "item"))
    columns, found = rows(data, names=("session", "item", "time"))
    assert (columns, len(found)) == (("session", "item", "time"), 2)


@given(st.lists(st.text('ab" \t', max_size=12), min_size=1), st.integers(1, 7))
def test_lines_are_converted_one_by_one(lines, size):
    text = "\n".join([*lines, ""]).encode()
    with tab_separated(opener(text))() as stream:
        parts = list(iter(lambda: stream.read(size), b""))
    assert b"".join(parts) == b"".join(with_tabs(line.encode()) + b"\n" for line in lines)


def test_a_field_of_a_converted_line():
    assert with_tabs(b'  a \t b  "c  d"  \r') == b'a\tb\t"c  d"\r'
    assert read_first_lines(tab_separated(opener("a  é\n".encode("utf-16"))), 1)[0] == [
        "a\té".encode()
    ]
