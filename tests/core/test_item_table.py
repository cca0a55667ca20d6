"""The item table as a class: columns by name, round trip, damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn, TextColumn
from nextclick.core.item_table import ItemTable
from nextclick.core.manifests import with_digest
from nextclick.core.storage import write_json
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from pathlib import Path


def table() -> ItemTable:
    codes = np.array([0, 2, 0, 1], dtype=np.int32)
    return ItemTable(
        3,
        [
            CategoryColumn("brand", Categories(codes, Vocabulary.from_strings(["acme", "zeta"]))),
            NumberColumn("price", np.array([np.nan, 1.5, np.nan, 2.5])),
            TextColumn("title", Vocabulary.from_strings(["eins", "", "größe"])),
        ],
    )


def values(table: ItemTable) -> list[Any]:
    codes, labels = table.categories("brand")
    prices = [None if np.isnan(price) else float(price) for price in table.numbers("price")]
    return [codes.tolist(), labels.ids(), prices, table.texts("title")]


def test_round_trip(tmp_path: Path) -> None:
    table().save(tmp_path / "table")
    opened = ItemTable.open(tmp_path / "table")
    assert opened.names == ("brand", "price", "title")
    assert opened.kinds == {"brand": "category", "price": "number", "title": "text"}
    assert values(opened) == values(table())
    assert values(table()) == [
        [0, 2, 0, 1], ["acme", "zeta"], [None, 1.5, None, 2.5], ["", "eins", "", "größe"]
    ]  # fmt: skip


def test_take_selects_rows_and_drops_unused_labels() -> None:
    taken = table().take(np.array([0, 1, 0], dtype=np.int32))
    assert taken.n_items == 2
    assert values(taken) == [[0, 1, 0], ["zeta"], [None, 1.5, None], ["", "eins", ""]]


def test_columns_are_named_in_errors() -> None:
    with pytest.raises(ConfigError, match=r"no column 'prise': did you mean price\?; it has brand"):
        table().column("prise")
    with pytest.raises(ConfigError, match="'price' of the item table is of the kind number, not"):
        table().categories("price")
    with pytest.raises(ConfigError, match="--items-kind title=number"):
        table().numbers("title")
    with pytest.raises(ConfigError, match="--items-kind brand=text"):
        table().texts("brand")


def test_damage_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    table().save(folder)
    (folder / "1" / "numbers.npy").unlink()
    with pytest.raises(StoreError, match=r"table/1: not a column of an item table"):
        ItemTable.open(folder)
    np.save(folder / "1" / "numbers.npy", np.zeros(3))
    with pytest.raises(StoreError, match="numbers must have 4 rows, got 3"):
        ItemTable.open(folder)
    np.save(folder / "1" / "numbers.npy", np.full(4, np.inf))
    with pytest.raises(StoreError, match="numbers has an infinite value"):
        ItemTable.open(folder)
    np.save(folder / "0" / "codes.npy", np.array([0, 1, 2, 3], dtype=np.int32))
    with pytest.raises(StoreError, match=r"codes must be in 0\.\.2"):
        ItemTable.open(folder)
    write_json(folder / "columns.json", with_digest({"n_items": "3", "columns": []}))
    with pytest.raises(StoreError, match="n_items and columns must be a number and a list, got"):
        ItemTable.open(folder)
    (folder / "columns.json").write_text("{}")
    with pytest.raises(StoreError, match=r"columns\.json: not a column of an item table"):
        ItemTable.open(folder)
