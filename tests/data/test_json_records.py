"""JSON files as rows: layouts, types, nested fields, arrays, and values that cannot be read."""

import io
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.data.readers import json_records, json_values
from nextclick.data.readers.json_records import json_source
from nextclick.data.readers.json_values import is_json
from nextclick.data.readers.sources import BAD, LINE, ROW
from nextclick.errors import SourceError


def open_json(data, **options):
    data = data.encode() if isinstance(data, str) else data
    return json_source(lambda: io.BytesIO(data), "log.json", **options)


def rows(data, *columns, **options):
    """Return the values of the readable rows, and the reason of each bad row by line."""
    source = open_json(data, **options)
    columns = columns or [c for c in source.columns if not source.types[c].is_nested()]
    readable, bad, number = [], {}, 0
    for frame in source.frames(columns):
        for row in frame.iter_rows(named=True):
            assert row[ROW] == number
            number += 1
            if row.get(BAD):
                bad[row[LINE]] = row[BAD]
            elif any(row[column] is not None for column in columns):
                readable.append(tuple(row[column] for column in columns))
    return readable, bad


LAYOUTS = {
    "lines": '{"s": 1, "i": "a"}\n{"s": 2, "i": "b"}\n',
    "lines without a last line end": '{"s": 1, "i": "a"}\n{"s": 2, "i": "b"}',
    "lines with blank lines and CR": '{"s": 1, "i": "a"}\r\n\r\n   \n{"s": 2, "i": "b"}\r\n',
    "lines with a BOM": '\ufeff{"s": 1, "i": "a"}\n{"s": 2, "i": "b"}\n',
    "array": '[{"s": 1, "i": "a"}, {"s": 2, "i": "b"}]',
    "array by lines": '[\n{"s": 1, "i": "a"},\n{"s": 2, "i": "b"}\n]\n',
    "objects over several lines": '{\n  "s": 1,\n  "i": "a"\n}\n{\n  "s": 2,\n  "i": "b"\n}\n',
    "objects without a space": '{"s": 1, "i": "a"}{"s": 2, "i": "b"}',
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    assert rows(LAYOUTS[layout], "s", "i") == ([("1", "a"), ("2", "b")], {})


def test_utf_16_lines():
    assert rows(LAYOUTS["lines"].encode("utf-16"), "s", "i")[0] == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize(
    "text", ['{"status": 1, "data": {"hits": %s}}', '{"data": {"hits": %s}}\n']
)
def test_one_object_with_one_array_has_the_elements_as_rows(text):
    hits = '[{"s": 1, "i": "a"}, {"s": 2, "i": "b"}]'
    found, bad = rows(text % hits, "data.hits.s", "data.hits.i")
    assert (found, bad) == ([("1", "a"), ("2", "b")], {})


def test_one_line_with_an_item_is_one_row():
    text = '{"item_id": 5, "tags": [{"k": 1}, {"k": 2}]}\n'
    assert rows(text, "item_id") == ([("5",)], {})


def test_ids_keep_their_text_whatever_the_first_rows_have():
    values = [
        "12",
        '"12"',
        "true",
        "1.0",
        "1e3",
        "12345678901234567890",
        '"A7"',
        "3.7",
        '"007"',
        "-0",
    ]
    text = "\n".join(f'{{"i": {value}}}' for value in values)
    expected = ["12", "12", "true", "1", "1000", "12345678901234567890", "A7", "3.7", "007", "0"]
    assert rows(text, "i") == ([(value,) for value in expected], {})


def test_a_field_of_a_late_row_is_a_column(monkeypatch):
    monkeypatch.setattr(json_values, "BLOCK_BYTES", 4_000)
    lines = [f'{{"s": {n}, "i": 1}}' for n in range(5_000)]
    lines[4_999] = '{"s": 5, "i": 1, "user": {"id": "u"}}'
    found, bad = rows("\n".join(lines), "i", "user.id")
    assert not bad
    assert (len(found), found[-1]) == (5_000, ("1", "u"))


BAD_LINES = {
    '{"i": 2': "not valid JSON: Expecting ',' delimiter",
    "no JSON": "not valid JSON: Expecting value",
    '{"i": NaN}': "the object has no field i",
    '{"i": -Infinity}': "the object has no field i",
    '{"i": 1e999}': "the number 1e999 is too large",
    '{"i": 1, "i": 2}': "the key 'i' occurs twice",
    '{"i": {"id": 3}}': "field 'i': expected one value, got an object",
    '{"i": [3]}': "field 'i': expected one value, got an array",
    '{"i": "\\ud800"}': "field 'i': the text is not valid Unicode",
    '{"other": 1}': "the object has no field i",
    '{"i": null}': "the object has no field i",
    "[1, 2]": "expected a JSON object, got an array",
    "null": "expected a JSON object, got nothing",
    "17": "expected a JSON object, got the value '17'",
    '{"i": ' + "[" * 5_000: "the value is nested too deeply",
    '{"i": "\x00"}': "NUL byte",
    '{"i": "\x01"}': "not valid JSON: Invalid control character",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_cannot_be_read_is_one_bad_row(line):
    found, bad = rows(f'{{"i": 1}}\n{{"i": 1.0}}\n\n{line}\n{{"i": 5}}\n{{"i": "6"}}\n', "i")
    assert found == [("1",), ("1",), ("5",), ("6",)]
    assert list(bad) == [4]
    assert BAD_LINES[line] in bad[4]


def test_a_line_that_is_not_utf_8_is_one_bad_row():
    found, bad = rows(b'{"i": 1}\n{"i": "\xff"}\n', "i")
    assert found == [("1",)]
    assert "invalid UTF-8" in bad[2]


def test_the_last_value_of_a_cut_file_is_a_bad_row():
    assert rows('{"i": 1}\n{"i": 2}\n{"i"', "i")[1].keys() == {3}
    for end, reason in (
        ('{"i": 2', "the file ends within this value"),
        ('{"i": tr', "the file ends within this value"),
        ('{"i": "x', "the file ends within this value"),
        ('{"i": 2}', "the file ends before the end of the array"),
        ('{"i": 2},', "the file ends before the end of the array"),
    ):
        _, bad = rows(f'[{{"i": 1}},\n{end}', "i")
        assert list(bad.values()) == [reason]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[{"i": 1}, {"i": 2 3}, {"i": 4}]',
            r"line 1: not valid JSON: Expecting ',' delimiter; the",
        ),
        ('[{"i": 1}\n {"i": 2}]', r"line 2: not valid JSON: expected a comma between two values"),
        ('[{"i": 1}] x', r"line 1: not valid JSON: expected no text after the last value"),
        ('[{"i": 1}, {"i": "' + "x" * 2_000, r"the file ends within this value; the rows after"),
        ("[" * 100_000, r"line 1: not valid JSON: the value is nested too deeply"),
        (b'[{"i": 1}, {"i": "\xff"}]', r"line 1: not valid JSON: not UTF-8 text"),
        ("[]", r"log\.json: no JSON object with a field; expected one object per click"),
        ("[[1, 2], [3, 4]]", r"no JSON object with a field"),
    ],
)
def test_a_file_whose_rows_cannot_be_found_is_rejected(text, message):
    with pytest.raises(SourceError, match=message):
        rows(text, "i")


def test_fields_are_named_by_their_path():
    text = '{"event": {"item": {"id": 7, "name": "x"}, "at": 5}, "a.b": 1}\n{"event": null}\n'
    source = open_json(text)
    assert set(source.columns) == {"event.item.id", "event.item.name", "event.at", "a.b"}
    assert rows(text, "event.item.id", "a.b")[0] == [("7", "1")]


def test_the_text_of_an_object_has_fields():
    values = [{"item_id": 10, "s": {"id": 1.0}}, {"item_id": "x\ny", "s": None}]
    lines = [json.dumps({"k": 1, "value": json.dumps(value, indent=1)}) for value in values]
    lines += ['{"k": 2, "value": null}', '{"k": 3, "value": {"item_id": 5}}']
    found, bad = rows("\n".join(lines), "k", "value.item_id", "value.s.id")
    assert found == [("1", "10", "1"), ("1", "x\ny", None), ("2", None, None), ("3", "5", None)]
    assert not bad
    found, bad = rows("\n".join([*lines, '{"k": 4, "value": "no object"}']), "k", "value.item_id")
    assert (len(found), bad) == (
        4,
        {5: "field 'item_id': expected an object around it, got the value 'no object'"},
    )


def test_the_elements_of_an_array_are_rows():
    text = (
        '{"s": 1, "e": [{"i": 5, "p": {"q": 1}}, {"i": "x"}]}\n'
        '{"s": 2, "e": []}\n{"s": 3}\n{"s": 4, "e": [{"i": [1]}, {"i": 9}]}\n{"s": 5, "e": 6}\n'
    )
    found, bad = rows(text, "s", "e.i", "e.p.q", records="e")
    assert found == [("1", "5", "1"), ("1", "x", None), ("4", "9", None)]
    assert bad == {
        4: "field 'e.i': expected one value, got an array",
        5: "field 'e': expected an array, got the value '6'",
    }
    assert rows('{"s": 1, "e": ["a", 2]}\n{"s": 2, "e": [3]}', "s", "e", records="e")[0] == [
        ("1", "a"),
        ("1", "2"),
        ("2", "3"),
    ]


def test_an_array_within_a_text_and_a_text_within_an_array():
    inner = json.dumps({"e": [{"i": 1}, {"i": 2}]})
    assert rows(json.dumps({"v": inner}) + "\n{}", "v.e.i", records="v.e")[0] == [("1",), ("2",)]
    text = json.dumps({"s": 1, "e": [{"v": '{"i": 3}'}, {"v": '{"i": 4}'}]})
    assert rows(text + "\n{}", "s", "e.v.i", records="e")[0] == [("1", "3"), ("1", "4")]


def test_an_unknown_array_is_rejected():
    text = '{"s": 1, "events": [{"i": 5}]}\n{"s": 1}'
    with pytest.raises(SourceError, match=r"there is no array 'evnts' \(--records\): did you mean"):
        open_json(text, records="evnts")
    with pytest.raises(SourceError, match=r"there is no array 'x' .*the objects have no array"):
        open_json('{"s": 1}', records="x")


@pytest.mark.parametrize("keys", [1_500, 3_000])
def test_objects_whose_keys_are_ids(keys):
    lines = [f'{{"i": {n}, "seen": {{"k{n}": 1}}}}' for n in range(keys)]
    assert len(rows("\n".join(lines), "i")[0]) == keys


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.text(alphabet='{}[]":,\\ \n', max_size=6),
)
_OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c.d", "é"]), _SCALARS)


@settings(deadline=None, max_examples=150)
@given(st.lists(_OBJECTS, min_size=2, max_size=8), st.booleans())
def test_polars_and_the_parser_of_single_values_read_the_same(objects, escaped):
    """The slow, obvious twin."""
    objects.append({"a": 1, "b": 1, "c.d": 1, "é": 1})
    text = "\n".join(json.dumps(value, ensure_ascii=escaped) for value in objects)
    source = open_json(text)
    fast = pl.concat(list(source.frames(source.columns)), how="diagonal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_parse_block", lambda block, selection: None)
        slow = pl.concat(list(source.frames(source.columns)), how="diagonal")
    assert fast.select(source.columns).rows() == slow.select(source.columns).rows()


def test_json_is_recognized_by_content():
    for text in LAYOUTS.values():
        assert is_json(text.encode())
    assert is_json(b'broken line\n{"i": 1}\n{"i": 2}\n')
    for text in ("a,b\n1,2\n", "[01/Apr/2024:00:00:00] GET /", "{a},b\n", "", "'{\n"):
        assert not is_json(text.encode())
