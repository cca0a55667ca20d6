import datetime as dt
import uuid
from decimal import Decimal

import polars as pl
import pytest

from nextclick.core.types import silent
from nextclick.data.options import ReadOptions, SessionOptions
from nextclick.data.readers.columns import Columns
from nextclick.data.readers.open_file import scan_file
from nextclick.data.readers.raw_log import read_log
from nextclick.data.readers.typed_tables import typed_source
from nextclick.errors import SourceError


def column(values, dtype=None):
    source = typed_source(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}).lazy(), "log")
    return source.types["x"], source.head(["x"], 99)["x"].to_list()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"a", None, "é".encode()], ["a", None, "é"]),
        ([b"", b"a"], ["", "a"]),
        ([None, None], [None, None]),
        (
            [uuid.UUID(int=2**127 + 1).bytes, None],
            [str(uuid.UUID(int=2**127 + 1)), None],
        ),
        ([b"\xff" * 16, b"\x01"], [str(uuid.UUID(bytes=b"\xff" * 16)), "01"]),
        ([b"\xff\x00", b"a"], ["ff00", "61"]),
        ([b"\x00\x00\x00\x07"], ["00000007"]),
        ([b"a"] * 150 + [b"\xff"], ["a"] * 99),
    ],
)
def test_binary_values_become_text(values, expected):
    assert column(values, pl.Binary) == (pl.String(), expected)


def test_a_binary_value_that_is_not_text_after_many_that_are_is_hexadecimal():
    table = pl.DataFrame({"x": [b"a"] * 150 + [b"\xff"]}).lazy()
    frames = list(typed_source(table, "log").frames(["x"]))
    assert pl.concat(frames)["x"].to_list() == ["a"] * 150 + ["ff"]


@pytest.mark.parametrize(
    "dtype", [pl.Categorical(), pl.Enum(["a", "b"]), pl.String()], ids=["category", "enum", "text"]
)
def test_categories_are_text(dtype):
    assert column(["a", None, "b"], dtype) == (pl.String(), ["a", None, "b"])


def test_fields_of_structs_are_columns():
    table = pl.DataFrame(
        {
            "event": [{"item": {"id": 1, "tags": ["a"]}, "at": 5}, None],
            "raw": [{"id": b"\xff" * 16}, {"id": None}],
        }
    )
    source = typed_source(table.lazy(), "log")
    assert source.columns == ("event.item.id", "event.item.tags", "event.at", "raw.id")
    assert source.head(["event.at", "event.item.id", "raw.id"], 9).rows() == [
        (5, 1, str(uuid.UUID(bytes=b"\xff" * 16))),
        (None, None, None),
    ]


def log(**columns):
    times = [1_700_000_000 + n for n in range(8)]
    return pl.DataFrame({"session_id": [1, 1, 1, 2, 2, 2, 3, 3], "timestamp": times} | columns)


def read(source, **columns):
    options = ReadOptions(columns=Columns(**columns))
    return read_log([[source]], options, SessionOptions(), silent)


ITEMS = {
    "int128": pl.Series([10**30 + n % 3 for n in range(8)], dtype=pl.Int128),
    "unsigned": pl.Series([2**64 - 1 - n % 3 for n in range(8)], dtype=pl.UInt64),
    "decimal": pl.Series([Decimal(n % 3) for n in range(8)], dtype=pl.Decimal(38, 0)),
    "boolean": pl.Series([n % 2 == 0 for n in range(8)]),
    "date": pl.Series([dt.date(2026, 1, 1 + n % 3) for n in range(8)]),
    "enum": pl.Series(list("abcabcab"), dtype=pl.Enum(["a", "b", "c"])),
    "float16": pl.Series([1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0], dtype=pl.Float16),
    "binary": pl.Series([bytes([n % 3] * 16) for n in range(8)]),
}


@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_ids_of_every_type_are_read(tmp_path, items, kind):
    path = tmp_path / "log"
    frame = log(item_id=items)
    frame.write_parquet(path) if kind == "parquet" else frame.write_ipc(path)
    assert len(read(path).items) == items.n_unique()


def test_a_field_of_a_struct_is_chosen_by_its_path(tmp_path):
    items = [{"item": {"id": n % 3}} for n in range(8)]
    log(event=items).write_parquet(tmp_path / "log.parquet")
    assert len(read(tmp_path / "log.parquet", item="event.item.id").items) == 3


def test_sessions_stored_as_lists_are_read(tmp_path):
    rows = pl.DataFrame(
        {
            "session_id": ["a", "b", "c"],
            "item_id": [[1, 2, 3], [], [2, 3]],
            "timestamp": [[10, 20, 30], [], [40, 50]],
        }
    )
    rows.write_parquet(tmp_path / "log.parquet")
    (part,) = read(tmp_path / "log.parquet").parts
    assert [chunk.tolist() for chunk in part.chunk_groups] == [[0, 0, 0, 1, 1]]
    assert [chunk.tolist() for chunk in part.chunk_items] == [[0, 1, 2, 1, 2]]
    one_time = rows.with_columns(timestamp=pl.Series([1, 2, 3]))
    assert read(one_time).counts.rows == 5


def test_lists_of_different_lengths_are_rejected():
    rows = pl.DataFrame({"session_id": ["a"], "item_id": [[1, 2]], "timestamp": [[10]]})
    with pytest.raises(
        SourceError, match="frame: cannot be read: exploded columns must have match"
    ):
        read(rows)


def test_fields_of_lists_of_structs_are_columns_of_lists():
    table = pl.DataFrame(
        {
            "visit": ["a", "b", "c", "d"],
            "hits": [
                [
                    {"page": {"sku": 7}, "at": 1, "tags": [{"name": "x"}]},
                    {"page": {"sku": 8}, "at": 2, "tags": []},
                ],
                [],
                None,
                [None],
            ],
        }
    )
    source = typed_source(table.lazy(), "log")
    assert list(source.types) == [
        *("visit", "hits", "hits.page.sku", "hits.at", "hits.tags", "hits.tags.name")
    ]
    frame = source.head(["hits.page.sku", "hits.at", "hits.tags.name"], 9)
    assert frame.rows() == [
        ([7, 8], [1, 2], [["x"], []]),
        ([], [], []),
        (None, None, None),
        ([None], [None], [None]),
    ]
    assert frame.schema == pl.Schema({name: source.types[name] for name in frame.columns})


def test_lists_of_structs_are_read_as_records(tmp_path):
    hits = [[{"sku": 7, "ts": 1_700_000_000}, {"sku": 8, "ts": 1_700_000_001}], [], None]
    table = pl.DataFrame({"visit_id": ["a", "b", "c"], "hits": hits})
    table.write_parquet(tmp_path / "log.parquet")
    for records in (None, "hits"):
        options = ReadOptions(records=records)
        part = read_log([[tmp_path / "log.parquet"]], options, SessionOptions(), silent).parts[0]
        assert [chunk.tolist() for chunk in part.chunk_items] == [[0, 1]]
        assert [chunk.tolist() for chunk in part.chunk_groups] == [[0, 0]]


def test_a_list_as_the_session_is_rejected():
    frame = log(item_id=[1] * 8).with_columns(session_id=pl.concat_list("session_id"))
    with pytest.raises(SourceError, match="column 'session_id': expected one value per row"):
        read(frame)


def test_a_fault_inside_of_polars_names_the_source(tmp_path, monkeypatch):
    log(item_id=[1] * 8).write_parquet(tmp_path / "a.parquet")
    source = scan_file(tmp_path / "a.parquet")

    def panic(*args, **kwargs):
        raise pl.exceptions.PanicException("called Option::unwrap()")

    monkeypatch.setattr(pl.LazyFrame, "collect_batches", panic)
    with pytest.raises(
        SourceError, match=r"a\.parquet: cannot be read: the file is damaged, or ho"
    ):
        list(source.frames(["item_id"]))
