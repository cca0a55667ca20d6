import datetime as dt
from collections import namedtuple

import numpy as np
import pandas as pd
import polars as pl
import pytest

from nextclick.data.readers.frames import as_sources, scan_frame
from nextclick.errors import ConfigError, SourceError


def rows_of(frame):
    source = scan_frame(frame)
    rows = [pl.concat(source.frames(source.columns)).select(source.columns).rows() for _ in "ab"]
    assert rows[0] == rows[1]  # a second pass reads the same
    return source.columns, rows[0]


def pandas_column(values, dtype):
    (name,), rows = rows_of(pd.DataFrame({"x": pd.Series(values, dtype=dtype)}))
    assert name == "x"
    return [value for (value,) in rows]


BIG = 2**53 + 1


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, None, BIG], "Int64", [1, None, BIG]),
        ([1, None, 2**64 - 1], "UInt64", [1, None, 2**64 - 1]),
        ([1.5, None, 2.0], "Float64", [1.5, None, 2.0]),
        ([1.5, float("nan")], "float64", [1.5, None]),
        ([True, None], "boolean", [True, None]),
        (["a", None], "string", ["a", None]),
        (["a", None], "str", ["a", None]),
        (["a", None, "b"], "category", ["a", None, "b"]),
        ([7, None, 8], pd.CategoricalDtype([7, 8]), [7, None, 8]),
        ([1, 2, BIG], "int64", [1, 2, BIG]),
        ([1.0, 0.0], pd.SparseDtype(float, 0.0), [1.0, 0.0]),
        ([b"a", None], object, ["a", None]),
    ],
    ids=str,
)
def test_types_of_pandas_are_read_exactly(values, dtype, expected):
    assert pandas_column(values, dtype) == expected


def test_times_of_pandas_keep_their_moment():
    naive = pd.Series(pd.to_datetime(["2026-01-01 10:00", None]))
    assert pandas_column(naive, None) == [dt.datetime(2026, 1, 1, 10), None]
    aware = naive.dt.tz_localize("Europe/Berlin")
    moment = pandas_column(aware, None)[0]
    assert moment == dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC)


def test_named_levels_of_the_index_are_columns():
    frame = pd.DataFrame({"item": [1, 2], "shop": ["a", "b"], "at": [5, 6]})
    assert rows_of(frame.set_index("item")["at"]) == (("item", "at"), [(1, 5), (2, 6)])
    indexed = frame.set_index(["item", "shop"])
    assert rows_of(indexed) == (("item", "shop", "at"), [(1, "a", 5), (2, "b", 6)])
    assert rows_of(frame[["at"]].iloc[::-1]) == (("at",), [(6,), (5,)])
    with pytest.raises(SourceError, match="frame: duplicate column 'at'"):
        scan_frame(pd.DataFrame([[1, 2]], columns=["at", "at"]))


def test_levels_of_column_names_are_joined():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("item", "id"), ("at", "")]))
    assert rows_of(frame) == (("item.id", "at"), [(1, 2)])


def test_nested_values_of_pandas_are_lists():
    source = scan_frame(pd.DataFrame({"x": [[1, 2], [3]]}))
    assert source.types["x"] == pl.List(pl.Int64)


Click = namedtuple("Click", "item at")

TABLE = (("item", "at"), [("a", 1), ("b", 2)])
IN_MEMORY = {
    "dict of lists": {"item": ["a", "b"], "at": [1, 2]},
    "dict of arrays": {"item": np.array(["a", "b"]), "at": np.array([1, 2])},
    "dict of series": {"item": pl.Series(["a", "b"]), "at": pl.Series([1, 2])},
    "list of dicts": [{"item": "a", "at": 1}, {"item": "b", "at": 2}],
    "named tuples": [Click("a", 1), Click("b", 2)],
    "structured array": np.array([("a", 1), ("b", 2)], dtype=[("item", "U1"), ("at", "i8")]),
    "lazy frame": pl.LazyFrame({"item": ["a", "b"], "at": [1, 2]}),
}


@pytest.mark.parametrize("frame", IN_MEMORY.values(), ids=IN_MEMORY)
def test_tables_in_memory_are_read(frame):
    (source,) = as_sources(frame)
    assert rows_of(source) == TABLE


def test_tables_of_arrow_are_read():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"item": ["a", "b"], "at": [1, 2]})
    for frame in (table, table.to_batches()[0], table.to_reader()):
        (source,) = as_sources(frame)
        assert rows_of(source) == TABLE


def test_relations_of_duckdb_are_read():
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        relation = connection.sql("""SELECT * FROM (VALUES ('a', 1), ('b', 2)) AS t(item, "at")""")
        (source,) = as_sources(relation)
        assert rows_of(source) == TABLE


def test_a_generator_of_frames_is_several_sources():
    frames = (pl.DataFrame({"item": [number]}) for number in range(3))
    assert [rows_of(source)[1] for source in as_sources(frames)] == [[(0,)], [(1,)], [(2,)]]
    rows = ({"item": number} for number in range(3))
    (source,) = as_sources(rows)
    assert rows_of(source) == (("item",), [(0,), (1,), (2,)])


def test_rows_without_names_are_named_by_position():
    (source,) = as_sources([("a", 1), ("b", 2)])
    assert rows_of(source) == (("column 1", "column 2"), TABLE[1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, "A2", None], ["1", "A2", None]),
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([1, 2**70], None),
        ([None, None], [None, None]),
    ],
)
def test_values_of_several_types_become_text(values, expected):
    _, rows = rows_of([{"x": value} for value in values])
    found = [value for (value,) in rows]
    assert found == expected or [str(value) for value in found] == [str(v) for v in values]


def test_a_row_may_omit_a_column():
    assert rows_of([{"a": 1}, {"b": 2}]) == (("a", "b"), [(1, None), (None, 2)])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (7, "a log must be a path, an address, a frame of Polars or pandas, .*, got int"),
        ({"x": [1], "y": [1, 2]}, r"the columns of a dict must be lists of the same length, got x"),
        ({"x": 1}, "must be lists of the same length, got no list; pass one list for each column"),
        ([(1, 2), (1,)], "frame: the rows have 1 to 2 values; pass rows of the same length"),
    ],
)
def test_an_object_that_is_not_a_table_is_rejected(frame, message):
    with pytest.raises(SourceError, match=message):
        scan_frame(frame)


def test_no_source_is_rejected():
    with pytest.raises(
        ConfigError, match="sources: expected at least one file, folder, glob or fr"
    ):
        as_sources([])
