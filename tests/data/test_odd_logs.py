"""Logs as spreadsheets, databases and old datasets write them."""

import json

import numpy as np
import polars as pl
import pytest

from nextclick.core.types import silent
from nextclick.data.options import PrepareOptions, ReadOptions
from nextclick.data.readers.columns import Columns
from nextclick.data.session_log import read_sessions
from nextclick.errors import SourceError

START = 1_711_962_600  # 2024-04-01T09:10Z
HEADER = "session,item,time\n"


def read(tmp_path, content, name="log.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_source(path, **options)


def read_source(source, **options):
    options = PrepareOptions(read=ReadOptions(**options))
    return read_sessions([source], None, options, silent)


def items(log):
    vocabulary, index = log.items.vocabulary(np.arange(len(log.items), dtype=np.int32))
    return list(vocabulary.raw_ids(index[log.table.items]))


def rows(*items, first="s"):
    return "".join(f"{first},{item},{START + 60 * n}\n" for n, item in enumerate(items))


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (("12.00", "12", "7.0"), [12, 12, 7]),
        (('"=""007"""', '"=""A1"""', "007"), ["007", "A1", "007"]),
    ],
)
def test_ids_of_spreadsheets_are_those_of_the_log(tmp_path, written, ids):
    assert items(read(tmp_path, HEADER + rows(*written))) == ids


@pytest.mark.parametrize("word", ["#N/A", "<NA>", "(null)", "[null]", "NaT"])
def test_words_of_spreadsheets_and_data_frames_are_missing(tmp_path, word):
    with pytest.raises(SourceError, match=r"row 2 .*expected the id of the item, got"):
        read(tmp_path, HEADER + rows("a", word))


@pytest.mark.parametrize("options", [{}, {"order": "file"}])
def test_a_repeated_header_is_a_bad_row(tmp_path, options):
    text = HEADER + rows("a", "b") + HEADER + rows("c")
    with pytest.raises(SourceError, match=r"row 3 \(line 4\): the header again, as where files"):
        read(tmp_path, text, **options)
    log = read(tmp_path, text, on_bad_row="skip", **options)
    assert sorted(items(log)) == ["a", "b", "c"]
    assert log.report["bad_rows"] == 1


def test_a_missing_item_of_a_log_without_times_is_not_taken_for_a_header(tmp_path):
    with pytest.raises(SourceError, match="expected the id of the item, got no value"):
        read(tmp_path, "session,item\ns,a\ns,\n", order="file")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("item", pl.Series([2.0**55, 2.0**55]), "expected the item as an integer or text, because"),
        ("item", pl.Series([2e7, 3e7], dtype=pl.Float32), "because Float32 rounds it"),
        ("time", pl.Series([START, START], dtype=pl.Float32), "expected the time as an integer"),
    ],
)
def test_rounded_floats_are_bad_rows(column, values, message):
    frame = pl.DataFrame({"session": [1, 1], "item": [1, 2], "time": [START, START + 1]})
    with pytest.raises(SourceError, match=f"row 1, column '{column}': .*{message}"):
        read_source(frame.with_columns(values.alias(column)))


def test_floats_of_fewer_digits_and_missing_ones_are_read():
    frame = pl.DataFrame({"session": [1, 1], "item": [2.0**52, 7.0], "time": [START, START + 1]})
    frame = frame.with_columns(user=pl.Series([None, float("nan")], dtype=pl.Float64))
    assert items(read_source(frame)) == [2**52, 7]


@pytest.mark.parametrize(
    ("header", "dates"),
    [
        ("session,item,date,time", ("2024-04-01,09:10:00", "2024-04-01,09:11:00")),
        ("session,item,event_time,event_date", ("9:10 AM,04/13/2024", "1:11 PM,04/13/2024")),
    ],
)
def test_a_date_is_joined_to_a_time_of_day(tmp_path, header, dates):
    text = "".join(f"{line}\n" for line in (header, *(f"s,{n},{d}" for n, d in enumerate(dates))))
    log = read(tmp_path, text)
    assert "09:10:00" in log.report["first_time"]
    assert "+" in log.report["columns"]["time"]


def test_a_date_and_a_clock_of_a_table_are_joined():
    frame = pl.DataFrame({"session": [1, 1], "item": [1, 2], "when": [START, START + 1]})
    when = pl.from_epoch("when")
    frame = frame.select("session", "item", on=when.dt.date(), at=when.dt.time())
    log = read_source(frame, columns=Columns(time="on+at"))
    assert log.report["first_time"] == "2024-04-01T09:10:00.000+00:00"


def test_a_time_of_day_alone_is_rejected(tmp_path):
    frame = pl.DataFrame({"session": [1], "item": [1], "time": [START]})
    message = "convert the column, or select another with --time-column; join the column of the"
    with pytest.raises(SourceError, match=message):
        read_source(frame.with_columns(pl.from_epoch("time").dt.time()))
    with pytest.raises(SourceError, match=r"join the column of the dates: --time-column DATE\+t"):
        read(tmp_path, "session,item,time\ns,a,09:10\ns,b,09:11\n")


@pytest.mark.parametrize(
    "line",
    [
        r'"say \"a, b\" now",s,p,{},x',
        r'"\"Chill\"",s,p,{},x',
        r'"C:\dir\",s,p,{},x',
        r'"a\",b",s,p,{},x',
    ],
)
def test_a_quote_escaped_by_a_backslash_hides_no_field(tmp_path, line):
    text = "title,session,item,time,page\nx,s,q,1711962600,x\n" + line.format(START) + "\n"
    assert items(read(tmp_path, text)) == ["q", "p"]


def test_fields_may_be_separated_as_hive_does(tmp_path):
    text = (HEADER + rows("a", "b")).replace(",", "\x01")
    assert items(read(tmp_path, text)) == ["a", "b"]
    assert items(read(tmp_path, text, separator="\x01")) == ["a", "b"]


def test_a_file_that_ends_in_nul_bytes_has_one_bad_row(tmp_path):
    content = (HEADER + rows("a", "b")).encode() + b"\0" * 4_000
    with pytest.raises(SourceError, match=r"row 3 \(line 4\): NUL byte"):
        read(tmp_path, content)
    assert items(read(tmp_path, content, on_bad_row="skip")) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "a pointer of Git LFS"),
        ("-- MySQL dump 10.13\nINSERT INTO `clicks` VALUES (1,2,3);\n", "an SQL script"),
        ("a~b~c\n1~2~3\n", "the file has one column, so set --separator, or remove"),
        (HEADER + "s,Café,1\n", "no row of this source can be read; convert the file to UTF-8"),
        ("session,item,time\n7,s,a,5\n8,s,b,6\n", "--columns names all fields, _ skips one"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_remedy(tmp_path, content, message):
    encoded = content.encode("latin-1")
    with pytest.raises(SourceError, match=message):
        read(tmp_path, encoded)


def clicks(*items):
    return [{"session": 1, "item": i, "time": START + n} for n, i in enumerate(items)]


def test_nan_in_json_is_missing(tmp_path):
    lines = [json.dumps(row | {"price": float("nan")}) for row in clicks("a", "b")]
    assert items(read(tmp_path, "\n".join(lines))) == ["a", "b"]
    array = json.dumps([row | {"user": float("inf")} for row in clicks("a", "b")])
    assert items(read(tmp_path, array)) == ["a", "b"]


def test_long_ids_with_a_fraction_of_zeros_keep_their_digits(tmp_path):
    text = "\n".join(
        f'{{"session": 1, "item": {2**60 + n}.0, "time": {START + n}}}' for n in range(3)
    )
    assert items(read(tmp_path, text)) == [2**60, 2**60 + 1, 2**60 + 2]


def test_json_may_be_utf_16(tmp_path):
    text = "\n".join(map(json.dumps, clicks("a", "b")))
    assert items(read(tmp_path, text.encode("utf-16"))) == ["a", "b"]
    assert items(read(tmp_path, text.encode("utf-16-be"))) == ["a", "b"]


def test_lines_of_python_dicts_are_read_as_json(tmp_path):
    rows = [repr(row | {"text": 'it\'s "ok"', "free": False}) for row in clicks("a", "b")]
    rows[1] = rows[1].replace("'item': ", "u'item': u")
    log = read(tmp_path, "\n".join([*rows, "{'item': open('x')}", ""]), on_bad_row="skip")
    assert items(log) == ["a", "b"]
    assert log.report["bad_rows"] == 1
    assert log.report["bad_row_examples"][0]["reason"] == "not a dict of Python"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"i": 1, "i": 2}\n{"i": 1, "i": 3}\n', r"no JSON object with a field \(the key 'i' occ"),
        ("[[1, 2], [3, 4]]", r"no JSON object with a field \(the first is an array\)"),
        ('{"s": 1, "events": [{"item": 1}]}\n{"s": 2, "events": []}\n', "add --records events"),
        (json.dumps({f"{n}": {"item": n} for n in range(9)}), "'2.item' and 6 more have the same"),
        (json.dumps({f"k{n}": n for n in range(99)}), "k29 and 69 more; name it"),
    ],
)
def test_json_of_another_layout_names_the_remedy(tmp_path, text, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path, text)


def test_notes_beside_a_log_are_skipped_and_other_tables_are_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + rows("a", "b"))
    (folder / "notes.txt").write_text("exported by Ann\non Monday\n")
    log = read_source(folder)
    assert items(log) == ["a", "b"]
    assert any("the file has no columns and was skipped" in w for w in log.warnings)
    with pytest.raises(SourceError, match="no item column found among exported by Ann"):
        read_source(folder / "notes.txt")
    (folder / "items.csv").write_text("item,title\na,x\n")
    with pytest.raises(SourceError, match="no part of the log, pass the other files by name"):
        read_source(folder)


@pytest.mark.parametrize(
    ("values", "options", "warning"),
    [
        ({"item": ["1.2E+15", "1.3E+15"] * 30}, {}, "item ids such as '1.2E+15' were rounded by a"),
        ({"session": ["1E+12", "2E+12"] * 30}, {}, "session ids such as '1E+12' were rounded by a"),
        ({"item": ["é1", "e\u03011", "é2"] * 20}, {}, "1 item ids are the same as others but for"),
        ({"session": [0] * 30 + list(range(1, 31))}, {}, "the session 0 has 30 clicks, the others"),
        ({"session": ["-"] * 30 + ["x"] * 10 + ["y"] * 20}, {}, None),
        (
            {"type": ["view"] * 40 + ["View"] * 20},
            {"events": ("view",)},
            "rows of the event types View (20) are no clicks; add them to --events",
        ),
        ({"time": [732_800_000 + n * n for n in range(60)]}, {}, "the log ends at 1993-03-22T"),
    ],
)
def test_values_that_are_probably_wrong_have_a_warning(values, options, warning):
    columns = {
        "session": [n // 4 for n in range(60)],
        "item": [n % 7 for n in range(60)],
        "time": [START + n * n for n in range(60)],
    }
    printed = read_source(pl.DataFrame(columns | values), **options).warnings
    assert [w for w in printed if w.startswith(warning or "the session '-'")] == (
        [w for w in printed if "gaps between" not in w and "longer than a day" not in w]
        if warning
        else []
    )


def test_a_user_that_stands_for_nobody_has_a_warning():
    users = ["guest"] * 30 + [f"u{n}" for n in range(30)]
    frame = pl.DataFrame({"user": users, "item": [1] * 60, "time": range(START, START + 60)})
    (printed,) = [w for w in read_source(frame).warnings if "--missing" in w]
    assert printed.startswith("the user 'guest' has 30 clicks, the others have 1.0 on average; if")


def test_a_part_without_a_header_may_have_the_names_of_the_first(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.csv").write_text(HEADER + rows("a", "b"))
    (folder / "2.csv").write_text(rows("c"))
    with pytest.raises(SourceError, match=r"if its columns are those of .*session,item,time"):
        read_source(folder)
    assert sorted(items(read_source(folder, names=("session", "item", "time")))) == ["a", "b", "c"]
