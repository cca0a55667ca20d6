"""Item tables: reading, matching to the items of a log, and what the store has of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, evaluate, prepare, train
from nextclick.artifact import Artifact
from nextclick.core.item_table import ItemTable
from nextclick.core.manifests import rewrite_manifest
from nextclick.data.increment import options_from_manifest
from nextclick.data.options import FilterOptions, ItemOptions, ReadOptions, SplitOptions
from nextclick.data.store import Store
from nextclick.data.window_stores import WindowLog
from nextclick.errors import ArtifactError, ConfigError, SourceError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

# sessions 1 to 4; item 40 is clicked in the test only
CLICKS = [(1, 10), (1, 20), (2, 20), (2, 10), (3, 10), (3, 30), (4, 10), (4, 40), (4, 20)]
ITEMS = """item_id,category,price,title,size
20,shoes,19.5,Red running shoe,7
10,hats,,A hat for cold days,8
50,hats,7,Unclicked blue hat,
30,NA,12,,9
40,shoes,25,Boots for the test,7
"""


def clicks() -> pl.DataFrame:
    rows = [(session, item, 1_700_000_000 + n) for n, (session, item) in enumerate(CLICKS)]
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])


def prepared(folder: Path, items: Any, log: Any = None, *, skip: bool = False, **of: Any) -> Any:
    options = PrepareOptions(
        read=ReadOptions(on_bad_row="skip" if skip else "error"),
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.25, valid_fraction=0.34),
        item_table=ItemOptions(source=items, **of),
    )
    return prepare(clicks() if log is None else log, folder, options=options)


def written(folder: Path, text: str, name: str = "items.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_columns_are_stored_in_the_order_of_the_items(tmp_path: Path) -> None:
    result = prepared(tmp_path / "store", written(tmp_path, ITEMS))
    store = Store.open(tmp_path / "store")
    table = store.item_table
    assert table is not None
    assert store.items.ids() == [10, 20, 30]  # trained items
    assert table.kinds == {
        "category": "category",
        "price": "number",
        "title": "text",
        "size": "number",
    }
    codes, labels = table.categories("category")
    assert labels.ids() == ["hats", "shoes"]
    assert codes.tolist() == [0, 1, 2, 0]  # NA is no label
    np.testing.assert_array_equal(table.numbers("price"), [np.nan, np.nan, 19.5, 12.0])
    assert table.texts("title") == ["", "A hat for cold days", "Red running shoe", ""]
    assert table.has_values().tolist() == [False, True, True, True]
    report = result.report["item_table"]
    assert (report["rows"], report["rows_of_clicked_items"]) == (5, 4)
    assert report["missing"] == {"category": 1, "price": 1, "title": 1, "size": 1}
    assert any("1 of the 5 items of" in note for note in result.report["warnings"])


def test_every_file_form_gives_the_same_table(tmp_path: Path) -> None:
    frame = pl.read_csv(written(tmp_path, ITEMS), null_values=["NA"])
    frame.write_parquet(tmp_path / "items.parquet")
    frame.write_ndjson(tmp_path / "items.jsonl")
    frame[:2].write_csv(tmp_path / "part-1.csv")
    frame[2:].write_csv(tmp_path / "part-2.csv")
    sources = [str(tmp_path / name) for name in ("items.parquet", "items.jsonl", "part-*.csv")]
    prints = {prepared(tmp_path / "csv", str(tmp_path / "items.csv")).store.fingerprint}
    for number, source in enumerate([*sources, frame]):
        prints.add(prepared(tmp_path / str(number), source).store.fingerprint)
    assert len(prints) == 1


def test_without_unclicked_items_the_sessions_are_those_without_a_table(tmp_path: Path) -> None:
    plain = prepare(
        clicks(),
        tmp_path / "plain",
        options=PrepareOptions(
            filters=FilterOptions(min_item_support=1),
            split=SplitOptions(kind="fraction", fraction=0.25, valid_fraction=0.34),
        ),
    ).store
    store = prepared(tmp_path / "store", written(tmp_path, ITEMS)).store
    for part in ("train", "test"):
        assert store.part(part).items.tolist() == plain.part(part).items.tolist()
    assert plain.item_table is None
    assert not store.lists_unclicked


def test_all_items_of_the_table_are_known(tmp_path: Path) -> None:
    result = prepared(tmp_path / "store", written(tmp_path, ITEMS), catalog="all")
    store = result.store
    assert store.items.ids() == [10, 20, 30, 40, 50]
    assert store.lists_unclicked
    assert store.part("train").support().tolist() == [0, 3, 2, 1, 0, 0]
    assert store.part("test").items.tolist() == [1, 4, 2]  # the click on 40 is not dropped
    assert store.manifest["unseen_test"]["clicks_dropped"] == 0
    assert store.item_table is not None
    assert store.item_table.categories("category").codes.tolist() == [0, 1, 2, 0, 2, 1]
    assert not any("left out" in note for note in result.report["warnings"])


def test_a_test_item_changes_nothing_that_is_trained_on(tmp_path: Path) -> None:
    """Features are static: the row of an item of the test has no effect on the other items."""
    changed = ITEMS.replace("40,shoes,25,Boots", "40,boots,99,Other boots")
    first = prepared(tmp_path / "first", written(tmp_path, ITEMS)).store
    second = prepared(tmp_path / "second", written(tmp_path, changed)).store
    assert first.fingerprint == second.fingerprint


def test_the_fingerprint_depends_on_the_names_of_columns(tmp_path: Path) -> None:
    first = prepared(tmp_path / "first", written(tmp_path, ITEMS)).store
    renamed = written(tmp_path, ITEMS.replace("title", "name"))
    assert prepared(tmp_path / "second", renamed).store.fingerprint != first.fingerprint


def test_kinds_of_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "sku": ["10", "20", "30"],
            "brand": [3, 4, 3],
            "zip": ["007", "012", "007"],
            "is_new": [True, False, None],
            "tags": [["a", "b"], ["c"], None],
            "parts": [[{"x": 1}], [{"x": 2}], None],
            "added": [1, 2, 3],
        }
    ).with_columns(pl.from_epoch("added", time_unit="d"))
    result = prepared(tmp_path / "store", frame, kinds=("added=number", "is_new=text"))
    table = result.store.item_table
    assert table.kinds == {
        "brand": "category",
        "zip": "category",
        "is_new": "text",
        "tags": "category",
        "parts.x": "number",
        "added": "number",
    }
    assert table.categories("zip").labels.ids() == ["007", "012"]
    assert table.categories("brand").labels.ids() == ["3", "4"]
    assert table.numbers("added")[1] == 86_400_000.0  # milliseconds since 1970
    assert any("'parts' holds lists or objects" in note for note in result.report["warnings"])


def test_integers_beside_missing_values_keep_their_labels(tmp_path: Path) -> None:
    frame = pl.DataFrame({"item": [10, 20, 30], "brand_id": [7.0, None, 8.0]})
    table = prepared(tmp_path / "store", frame).store.item_table
    assert table.categories("brand_id").labels.ids() == ["7", "8"]


def test_the_id_column_is_found_by_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"url": ["/a", "/b"], "id": [10, 20], "price": [1.0, 2.0]})
    assert prepared(tmp_path / "a", frame).report["item_table"]["id_column"] == "id"
    renamed = frame.rename({"id": "Artikel"})
    of = {"id_column": "Artikel"}
    assert prepared(tmp_path / "b", renamed, **of).store.item_table.names == ("url", "price")
    with pytest.raises(SourceError, match=r"no column 'x' \(--items-id-column\): known: .*Artikel"):
        prepared(tmp_path / "c", renamed, id_column="x")
    with pytest.raises(SourceError, match="no column of item ids found among Artikel, price"):
        prepared(tmp_path / "d", renamed.drop("url"))
    with pytest.raises(SourceError, match="has no column besides the ids in 'item'"):
        prepared(tmp_path / "e", pl.DataFrame({"item": [10]}))
    twice = pl.DataFrame({"Item_ID": [10], "item-id": [10], "price": [1.0]})
    with pytest.raises(SourceError, match="name the column with --items-id-column"):
        prepared(tmp_path / "f", twice)


def test_equal_rows_are_counted_and_other_rows_of_an_item_are_bad(tmp_path: Path) -> None:
    same = written(tmp_path, ITEMS + "20,shoes,19.5,Red running shoe,7\n", "same.csv")
    result = prepared(tmp_path / "store", same)
    assert result.report["item_table"]["repeated_rows"] == 1
    assert any("dropped 1 rows that occur twice" in n for n in result.report["warnings"])
    other = written(tmp_path, ITEMS + "20,shoes,21,Red running shoe,7\n", "other.csv")
    with pytest.raises(
        SourceError, match=r"row 6 \(line 7\), column 'item_id': expected one row per item, but an"
    ):
        prepared(tmp_path / "other", other)
    result = prepared(tmp_path / "other", other, skip=True)
    assert result.store.item_table.numbers("price")[2] == 19.5  # the first row
    assert any("skipped 1 bad rows, the first is row 6" in n for n in result.report["warnings"])


def test_rows_without_an_id_are_bad(tmp_path: Path) -> None:
    text = ITEMS + ",shoes,3,,\n"
    with pytest.raises(
        SourceError, match=r"row 6 .*expected an item id, got no value; fix the row"
    ):
        prepared(tmp_path / "store", written(tmp_path, text))
    report = prepared(tmp_path / "store", written(tmp_path, text), skip=True).report
    assert report["item_table"]["bad_rows"] == 1
    empty = written(tmp_path, "item_id,price\n,1\n", "empty.csv")
    with pytest.raises(SourceError, match="the item table has no row with an id"):
        prepared(tmp_path / "empty", empty, skip=True)


def test_a_line_that_is_no_row_is_bad(tmp_path: Path) -> None:
    text = ITEMS + "60,shoes,3,title,7,more\n"
    with pytest.raises(SourceError, match=r"row 6 \(line 7\): more fields"):
        prepared(tmp_path / "store", written(tmp_path, text))
    assert prepared(tmp_path / "store", written(tmp_path, text), skip=True)


def test_a_value_that_is_no_number_is_named(tmp_path: Path) -> None:
    text = ITEMS.replace("19.5", "cheap")
    table = prepared(tmp_path / "a", written(tmp_path, text)).store.item_table
    assert table.kinds["price"] == "category"
    with pytest.raises(
        SourceError,
        match=r"row 1 \(line 2\), column 'price': expected a finite number, got 'cheap'",
    ):
        prepared(tmp_path / "b", written(tmp_path, text), kinds=("price=number",))


def test_kinds_must_name_a_column(tmp_path: Path) -> None:
    source = written(tmp_path, ITEMS)
    with pytest.raises(ConfigError, match=r"--items-kind must be NAME=category\|number\|text, got"):
        prepared(tmp_path / "a", source, kinds=("size",))
    with pytest.raises(ConfigError, match=r"--items-kind prices=text: .* has no column 'prices'"):
        prepared(tmp_path / "a", source, kinds=("prices=text",))
    with pytest.raises(ConfigError, match="describe an item table; name it with --items FILE"):
        prepared(tmp_path / "a", None, catalog="all")


def test_ids_that_match_nothing(tmp_path: Path) -> None:
    source = written(tmp_path, "item_id,price\nA1,1\nA2,2\n")
    with pytest.raises(
        SourceError, match=r"no id in the column 'item_id' occurs in the log: the table has 'A1'"
    ):
        prepared(tmp_path / "store", source)
    result = prepared(tmp_path / "store", written(tmp_path, "item_id,price\n10,1\nA2,2\n"))
    assert result.store.items.ids() == [10, 20, 30]  # still integers
    assert any("3 of the 4 items of the log have no row" in n for n in result.report["warnings"])


def test_files_of_a_table_have_the_same_columns(tmp_path: Path) -> None:
    written(tmp_path, "item_id,price\n10,1\n", "part-1.csv")
    written(tmp_path, "item_id,cost\n20,1\n", "part-2.csv")
    with pytest.raises(SourceError, match="no column 'price', which its first file has"):
        prepared(tmp_path / "store", str(tmp_path / "part-*.csv"))
    written(tmp_path, "item_id,price\n20,x\n", "part-2.csv")
    table = prepared(tmp_path / "store", str(tmp_path / "part-*.csv")).store.item_table
    assert table.categories("price").labels.ids() == ["1", "x"]


def test_text_ids_and_spreadsheet_ids(tmp_path: Path) -> None:
    log = clicks().with_columns(pl.format("P{}", "item").alias("item"))
    source = written(tmp_path, "item_id,price\nP10 ,1\nP20,2\n")
    table = prepared(tmp_path / "store", source, log).store.item_table
    np.testing.assert_array_equal(table.numbers("price"), [np.nan, 1.0, 2.0, np.nan])
    source = written(tmp_path, "item_id,price\n10.0,1\n20.0,2\n")
    assert prepared(tmp_path / "b", source).report["item_table"]["rows_of_clicked_items"] == 2


def test_the_artifact_has_the_table(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", written(tmp_path, ITEMS)).store
    train(store, "pop", tmp_path / "model")
    table = Artifact.load(tmp_path / "model").item_table
    assert table is not None
    np.testing.assert_array_equal(table.numbers("price"), store.item_table.numbers("price"))
    assert table.categories("category").labels.ids() == ["hats", "shoes"]
    assert evaluate(tmp_path / "model", store, ks=[1]).evaluation["counts"]["prefixes"] == 1
    files = json.loads((tmp_path / "model" / "manifest.json").read_text())["files"]
    assert "items/table/columns.json" in files


def test_windows_have_the_table_of_their_items(tmp_path: Path) -> None:
    log = clicks().with_columns(pl.col("time") + pl.col("session") * 86_400)
    for catalog, ids in (("clicked", [10, 20]), ("all", [10, 20, 30, 40, 50])):
        store = prepared(tmp_path / catalog, written(tmp_path, ITEMS), log, catalog=catalog).store
        windows = WindowLog.read(store)
        (window,) = windows.windows(1, days=1.5, train_days=None)
        opened = windows.write(window, tmp_path / f"{catalog}-window")
        assert opened.items.ids() == ids
        assert opened.item_table is not None
        assert opened.item_table.texts("title")[2] == "Red running shoe"
        assert opened.lists_unclicked == (catalog == "all")


def test_damage_of_the_table_is_found(tmp_path: Path) -> None:
    prepared(tmp_path / "store", written(tmp_path, ITEMS))
    file = tmp_path / "store" / "items" / "table" / "1" / "numbers.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"items/table/1/numbers\.npy is damaged"):
        Store.open(tmp_path / "store").items  # noqa: B018


def test_a_table_of_another_vocabulary_is_found(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", written(tmp_path, ITEMS)).store
    train(store, "pop", tmp_path / "model")
    for folder in (tmp_path / "store", tmp_path / "model"):
        shutil.rmtree(folder / "items" / "table")
        store.item_table.take(np.array([0, 1], dtype=np.int32)).save(folder / "items" / "table")
        rewrite_manifest(folder)
    with pytest.raises(StoreError, match="the item table has 1 items, the vocabulary 3; prepare"):
        Store.open(tmp_path / "store").item_table  # noqa: B018
    with pytest.raises(ArtifactError, match="item table has 1 items, the vocabulary has 3; train"):
        Artifact.load(tmp_path / "model")


def test_a_later_log_is_read_without_the_table(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", written(tmp_path, ITEMS)).store
    options = options_from_manifest(store.protocol, store.prepared)
    assert options.item_table == ItemOptions()
    assert replace(options, item_table=ItemOptions(source="x")).checked().item_table.source == "x"


def test_a_table_without_columns_has_no_values() -> None:
    assert ItemTable(2, []).has_values().tolist() == [False, False, False]
