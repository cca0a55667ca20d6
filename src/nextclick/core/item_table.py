"""Features of the items of a catalog: categories, numbers and texts by column.

    FOLDER/
      columns.json             name and kind of each column, and the number of items
      0/  1/  …                the column of that position:
                               category: codes.npy (N + 1,) int32, and a vocabulary of the labels
                               number:   numbers.npy (N + 1,) float64, NaN where it is missing
                               text:     text.npy, ends.npy: the texts of the items 1..N

Row i belongs to the item of index i of the vocabulary; row 0 is padding and has no value. The
values are static: they do not depend on clicks, so features of items of the test are no leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.item_columns import (
    COLUMN_TYPES,
    Categories,
    CategoryColumn,
    ItemColumn,
    NumberColumn,
    TextColumn,
)
from nextclick.core.manifests import ManifestError, read_with_digest, with_digest
from nextclick.core.storage import write_json
from nextclick.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import BoolArray, Float64Array, Int32Array

COLUMNS_FILE = "columns.json"


class ItemTable:
    """The features of the items of a vocabulary.

    >>> from nextclick.core.item_columns import NumberColumn
    >>> price = NumberColumn("price", np.array([np.nan, 9.5, np.nan]))
    >>> table = ItemTable(2, [price])
    >>> table.names, table.numbers("price").tolist()
    (('price',), [nan, 9.5, nan])

    Attributes:
        n_items: N.
        columns: the columns, in the order of the file.
    """

    def __init__(self, n_items: int, columns: Sequence[ItemColumn]):
        for column in columns:
            assert column.n_rows == n_items + 1, (column.name, column.n_rows, n_items)
        self.n_items = n_items
        self.columns = tuple(columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def kinds(self) -> dict[str, str]:
        """Name to `category`, `number` or `text`."""
        return {column.name: column.kind for column in self.columns}

    def column(self, name: str) -> ItemColumn:
        """Return a column.

        Raises:
            ConfigError: there is no column of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigError(
            f"the item table has no column {name!r}: {nearest(name, self.names)}; it has "
            f"{', '.join(self.names) or 'no column'}"
        )

    def categories(self, name: str) -> Categories:
        """Return the codes and labels of a categorical column.

        Raises:
            ConfigError: there is no such column, or it is of another kind.
        """
        column = self.column(name)
        if not isinstance(column, CategoryColumn):
            raise _wrong_kind(column, "category")
        return column.values

    def numbers(self, name: str) -> Float64Array:
        """Return (N + 1,) float64, NaN where the value is missing.

        Raises:
            ConfigError: there is no such column, or it is of another kind.
        """
        column = self.column(name)
        if not isinstance(column, NumberColumn):
            raise _wrong_kind(column, "number")
        return column.values

    def texts(self, name: str) -> list[str]:
        """Return N + 1 texts, empty where the value is missing.

        Raises:
            ConfigError: there is no such column, or it is of another kind.
        """
        column = self.column(name)
        if not isinstance(column, TextColumn):
            raise _wrong_kind(column, "text")
        return ["", *map(str, column.values.ids())]

    def has_values(self) -> BoolArray:
        """(N + 1,) bool, whether each item has a value in any column."""
        has_values = np.zeros(self.n_items + 1, dtype=np.bool_)
        for column in self.columns:
            has_values |= column.has_value()
        return has_values

    def take(self, rows: Int32Array) -> ItemTable:
        """The features of other items.

        Args:
            rows: (M + 1,) the row of each new item in this table, 0 for none.
        """
        return ItemTable(len(rows) - 1, [column.take(rows) for column in self.columns])

    def concatenate(self, other: ItemTable) -> ItemTable:
        """The table of these N items, followed by the M items of another one.

        Args:
            other: a table that has all columns of this one; its other columns are left out.

        Raises:
            ConfigError: it lacks a column, or has one of another kind.
        """
        columns = []
        for column in self.columns:
            added: Any = other.column(column.name)
            if added.kind != column.kind:
                raise _wrong_kind(added, column.kind)
            columns.append(column.concatenate(added))
        return ItemTable(self.n_items + other.n_items, columns)

    def save(self, folder: Path) -> None:
        """Write the files into a folder, which is created if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, column in enumerate(self.columns):
            (folder / str(number)).mkdir()
            column.save(folder / str(number))
        columns = [{"name": column.name, "kind": column.kind} for column in self.columns]
        write_json(
            folder / COLUMNS_FILE, with_digest({"n_items": self.n_items, "columns": columns})
        )

    @classmethod
    def open(cls, folder: Path) -> ItemTable:
        """Open a saved table, memory-mapped.

        Raises:
            StoreError: a file is missing, damaged or does not fit the others.
        """
        file = folder / COLUMNS_FILE
        try:
            fields = read_with_digest(file)
            n_items, described = fields["n_items"], fields["columns"]
            if not isinstance(n_items, int) or not isinstance(described, list):
                raise ManifestError(
                    f"n_items and columns must be a number and a list, got {fields}"
                )
            columns = []
            for number, entry in enumerate(described):
                file = folder / str(number)
                columns.append(COLUMN_TYPES[entry["kind"]].open(entry["name"], file, n_items))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{file}: not a column of an item table: {error!r}") from error
        return cls(n_items, columns)


def _wrong_kind(column: ItemColumn, expected: str) -> ConfigError:
    return ConfigError(
        f"column {column.name!r} of the item table is of the kind {column.kind}, not {expected}; "
        f"prepare the log with --items-kind {column.name}={expected}"
    )
