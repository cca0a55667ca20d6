"""Quotes in delimited text: worked examples, and a slow twin of the parser of blocks."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.data.readers import text_rows
from nextclick.data.readers.line_blocks import LineBlock
from nextclick.data.readers.sources import BAD
from nextclick.data.readers.text_fields import FieldSplitter
from nextclick.data.readers.text_rows import INDEX, TextRows


def split(line, separator=",", quote="auto", n_columns=None):
    return FieldSplitter(separator, quote).split(line, n_columns).values


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('1,"a, b",2', ["1", "a, b", "2"]),
        ('1,"say ""hi""",2', ["1", 'say "hi"', "2"]),
        ('1, "a, b" ,2', ["1", "a, b", "2"]),
        ('1,"Heroes,2', ["1", '"Heroes', "2"]),
        ('1,24" wide,2', ["1", '24" wide', "2"]),
        ('1,"Weird Al" Y,2', ["1", '"Weird Al" Y', "2"]),
        ('"",,""', ["", "", ""]),
        ('"a""', ['"a""']),
        ("", [""]),
        (",", ["", ""]),
        ('"a"\r', ['"a"\r']),
    ],
)
def test_quoted_fields_and_quotes_that_are_text(line, fields):
    assert split(line) == fields


def test_quotes_are_text_where_only_that_gives_the_number_of_columns():
    assert split('1,"a,b",2', n_columns=4) == ["1", '"a', 'b"', "2"]
    assert split('1,"a,b",2', n_columns=3) == ["1", "a,b", "2"]
    assert split('1,"a,b",2', n_columns=9) == ["1", "a,b", "2"]


def test_all_quotes_are_text_or_have_to_close():
    assert split('1,"a, b",2', quote="none") == ["1", '"a', ' b"', "2"]
    strict = FieldSplitter(",", '"')
    assert strict.split('1,"a, b",24" wide').open_at is None
    assert strict.split('1,"Heroes,2').open_at == 1


@pytest.mark.parametrize("separator", ["\t", "|", "||", "::", " ", ".", "^", "\\"])
def test_separators(separator):
    assert split(separator.join(["a", "b:c", '"d"', ""]), separator) == ["a", "b:c", "d", ""]


@pytest.mark.parametrize(
    ("lines", "n_lines"),
    [
        (['7,"Red', 'shoe"'], 2),
        (['7,"Red', "", "and blue", 'shoe"'], 4),
        (['7,"Red', '8,shoe"'], 1),
        (['7,"Red', 'large"x"'], 0),
        (['7,"Red', 'shoe",more'], 1),
        (["7,Red", 'shoe"'], 1),
        (['7,"Red"', 'shoe"'], 1),
        (['7,"Red', "8", 'shoe"'], 3),
        (['7,"Red', "8,", 'shoe"'], 1),
        (['7,"Red', "shoe"], 0),
        (['7,"Red', *["shoe"] * 99, '"'], 1),
    ],
)
def test_a_record_with_line_breaks(lines, n_lines):
    assert FieldSplitter(",").joins(lines, 2) == n_lines
    assert FieldSplitter(",", "none").joins(lines, 2) == 1


@pytest.mark.parametrize(
    ("lines", "n_lines"),
    [
        (['"red', 'shoe",5,UK'], 2),  # the break is in the first column
        (['"red', "large", 'shoe",5,UK'], 3),
        (['"red', 'shoe"', "7,5,UK"], 1),  # one field, as the first line
        (['7,"red', 'large, new",UK'], 2),  # the last line has three fields
        (['7,"red', '8,large",UK'], 1),  # 8 is an id as 7 is
        (['"red,5,DE', 'shoe",5,UK'], 1),  # both lines are rows
        (['"red', "blue,5,UK", 'shoe",5,UK'], 1),
        (['"red', '"blue",5,UK'], 1),
        (["\"['a' 'b'", "  'c']\",'d',UK"], 2),
        (["\"['a', 'b',", "  'c', 'd', 'e',", "  'f']\",'g',UK"], 3),  # a list of fields
        (['7,"[1, 2', '3, 4, 5]",UK'], 2),
        (["\"['a', 'b',", "\"['c', 'd']\",'e',UK"], 1),
        (["\"['a', 'b',"], 0),
    ],
)
def test_a_record_whose_line_breaks_are_before_other_columns(lines, n_lines):
    assert FieldSplitter(",").joins(lines, 3) == n_lines
    assert FieldSplitter(",", '"').joins(lines, 3) == n_lines


def test_a_record_with_line_breaks_ends_before_another_row():
    splitter = FieldSplitter(",")
    assert splitter.joins(["7,x,", "8,y,z"], 3) == 1
    assert splitter.joins(['7,x,"a', "8,y", 'b"'], 3) == 1  # 8 is an id as 7 is
    assert splitter.joins(['k,x,"a', "and, b", 'b"'], 3) == 3
    assert splitter.joins([f'7,x,"{"a" * (1 << 20)}', 'b"'], 3) == 1


def twin_fields(line, separator, quoted=True):
    """The fields of a line as (text, is quoted, opens with a quote), one letter at a time."""
    fields, at = [], 0
    while True:
        text_end = line.find(separator, at)
        text_end = len(line) if text_end < 0 else text_end
        start = at
        while separator != " " and line.startswith(" ", start):
            start += 1
        opens = line.startswith('"', start)
        end = _twin_close(line, start + 1, separator) if opens and quoted else None
        if end is None:
            fields.append((line[at:text_end], False, opens and quoted))
            end = text_end
        else:
            inside = line[start + 1 : end - 1].replace('""', '"')
            fields.append((inside, True, False))
            while end < len(line) and not line.startswith(separator, end):
                end += 1
        if end == len(line):
            return fields
        at = end + len(separator)


def _twin_close(line, at, separator):
    """The index after the quote that closes a field, None if none does."""
    while at < len(line):
        if line[at] == '"':
            if line.startswith('""', at):
                at += 2
                continue
            after = line[at + 1 :] if separator == " " else line[at + 1 :].lstrip(" ")
            return at + 1 if not after or after.startswith(separator) else None
        at += 1
    return None


def twin_rows(lines, separator, width, quote):
    """The rows of a file as (index, fields) or (index, None) for a bad one, line by line."""
    rows, at = [], 0
    while at < len(lines):
        length = 1 if quote == "none" else twin_length(lines[at:], separator, width)
        record = "\n".join(lines[at : at + length])
        fields = twin_fields(record, separator, quote != "none")
        plain = twin_fields(record, separator, quoted=False)
        if quote == "auto" and len(fields) != width and len(plain) == width:
            fields = plain
        is_bad = any(text for text, _, _ in fields[width:])
        is_bad |= quote == '"' and any(is_open for _, _, is_open in fields)
        values = [text if text or is_quoted else None for text, is_quoted, _ in fields]
        values = (values + [None] * width)[:width]
        if is_bad:
            rows.append((at, None))
        elif record.lstrip(" ").removesuffix("\r").replace(separator, ""):
            rows.append((at, values))
        at += length
    return rows


def twin_length(lines, separator, width):
    first = twin_fields(lines[0], separator)
    if not any(is_open for _, _, is_open in first):
        return 1
    for n in range(1, len(lines)):
        plain = [text for text, _, _ in twin_fields(lines[n], separator, quoted=False)]
        if len(plain) == width or len(twin_fields(lines[n], separator)) == width:
            return 1
        if len(plain) == width + 1 and not plain[-1]:
            return 1
        if len(plain) > 1 and first[0][0].strip().isdecimal() and plain[0].strip().isdecimal():
            return 1
        record = twin_fields("\n".join(lines[: n + 1]), separator)
        if not any(is_open for _, _, is_open in record):
            return n + 1 if len(record) == width else 1
    return 1


def rows_of(text, separator, width, quote, *, blocks=1):
    """The rows that `TextRows` reads from the lines in some blocks."""
    names = [f"c{n}" for n in range(width)]
    parser = TextRows(FieldSplitter(separator, quote), names, names)
    lines = text.split("\n")
    step = -(-len(lines) // blocks)
    rows, rest = [], None
    for start in range(0, len(lines), step):
        some = lines[start : start + step]
        block = LineBlock("".join(f"{line}\n" for line in some).encode(), start, len(some))
        block = block if rest is None else block.after(rest)
        parsed = parser.parse(block, is_last=start + step >= len(lines))
        rest = parsed.rest
        for row in parsed.frame.iter_rows(named=True):
            values = None if row.get(BAD) else [row[name] for name in names]
            rows.append((block.first_line + row[INDEX], values))
        n_lines = parsed.frame.height + parsed.n_blank + len(parsed.continuation)
        assert n_lines == block.n_lines - (rest.n_lines if rest else 0)
    assert rest is None
    return rows


PIECES = st.sampled_from(
    ["1", "a", "é", " ", '"', '""', "{s}", "{s}{s}", "\n", '{s}"', '"{s}', "\n7{s}"]
)


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(PIECES, max_size=40),
    separator=st.sampled_from([",", "\t", "||", " ", ";"]),
    width=st.integers(1, 4),
    quote=st.sampled_from(["auto", "auto", "none", '"']),
    blocks=st.integers(1, 3),
)
def test_blocks_are_parsed_as_by_the_slow_twin(pieces, separator, width, quote, blocks):
    text = "".join(pieces).replace("{s}", separator)
    expected = twin_rows(text.split("\n"), separator, width, quote)
    assert rows_of(text, separator, width, quote, blocks=blocks) == expected


def test_a_block_that_polars_divides_differently_is_split_line_by_line(monkeypatch):
    real = text_rows.pl.scan_csv
    monkeypatch.setattr(
        text_rows.pl, "scan_csv", lambda data, **how: real(io.BytesIO(b"1,2\n" * 5), **how)
    )
    assert rows_of('1,2\n3,4,,\n5,6,,7\n"x",', ",", 2, "auto") == [
        (0, ["1", "2"]),
        (1, ["3", "4"]),
        (2, None),
        (3, ["x", None]),
    ]
