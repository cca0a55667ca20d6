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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from nextclick.core.array_checks import ArrayError, check_length, check_range, open_array
from nextclick.core.manifests import ManifestError, read_with_digest, with_digest
from nextclick.core.storage import write_json
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import BoolArray, Float64Array, Int32Array

Kind = Literal["category", "number", "text"]
KINDS: tuple[str, ...] = get_args(Kind)
COLUMNS_FILE = "columns.json"


class Categories(NamedTuple):
    """The values of a categorical column.

    Attributes:
        codes: (N + 1,) int32, the label of each item in 1..C; 0 is a missing value.
        labels: the C labels; `labels.raw(1)` is that of code 1.
    """

    codes: Int32Array
    labels: Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class CategoryColumn:
    """A categorical column.

    Attributes:
        name: its name.
        values: codes and labels.
    """

    name: str
    values: Categories
    kind: ClassVar[Kind] = "category"

    @property
    def n_rows(self) -> int:
        """N + 1."""
        return len(self.values.codes)

    def has_value(self) -> BoolArray:
        """(N + 1,) bool, whether each item has a value."""
        return np.asarray(self.values.codes > 0)

    def take(self, rows: Int32Array) -> CategoryColumn:
        """The column of other items; labels that none of them has are dropped.

        Args:
            rows: (M + 1,) the row of each new item in this column; row 0 has no value.
        """
        codes = self.values.codes[rows]
        used = np.unique(codes)
        labels, index = self.values.labels.only(used[used > 0].astype(np.int32))
        return CategoryColumn(self.name, Categories(index[codes], labels))

    def concatenate(self, other: CategoryColumn) -> CategoryColumn:
        """The column of these items, followed by those of another one."""
        labels, first, second = self.values.labels.union(other.values.labels)
        codes = [first[self.values.codes], second[other.values.codes[1:]]]
        return CategoryColumn(self.name, Categories(np.concatenate(codes), labels))

    def save(self, folder: Path) -> None:
        """Write the files of the column."""
        self.values.labels.save(folder)
        np.save(folder / "codes.npy", self.values.codes)

    @classmethod
    def open(cls, name: str, folder: Path, n_items: int) -> CategoryColumn:
        """Open the files of the column."""
        labels = Vocabulary.open(folder)
        codes = open_array(folder / "codes.npy", np.int32)
        check_length("codes", codes, n_items + 1)
        check_range("codes", codes, 0, len(labels))
        return cls(name, Categories(codes, labels))


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """A column of numbers.

    Attributes:
        name: its name.
        values: (N + 1,) float64, finite, or NaN where the value is missing.
    """

    name: str
    values: Float64Array
    kind: ClassVar[Kind] = "number"

    @property
    def n_rows(self) -> int:
        """N + 1."""
        return len(self.values)

    def has_value(self) -> BoolArray:
        """(N + 1,) bool, whether each item has a value."""
        return np.asarray(~np.isnan(self.values))

    def take(self, rows: Int32Array) -> NumberColumn:
        """The column of other items; see `CategoryColumn.take`."""
        return NumberColumn(self.name, self.values[rows])

    def concatenate(self, other: NumberColumn) -> NumberColumn:
        """The column of these items, followed by those of another one."""
        return NumberColumn(self.name, np.concatenate([self.values, other.values[1:]]))

    def save(self, folder: Path) -> None:
        """Write the file of the column."""
        np.save(folder / "numbers.npy", self.values)

    @classmethod
    def open(cls, name: str, folder: Path, n_items: int) -> NumberColumn:
        """Open the file of the column."""
        values = open_array(folder / "numbers.npy", np.float64)
        check_length("numbers", values, n_items + 1)
        if np.isinf(values).any():
            raise ArrayError("numbers has an infinite value")
        return cls(name, values)


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """A column of texts.

    Attributes:
        name: its name.
        values: the N texts; `values.raw(i)` is that of item i, empty where it is missing.
    """

    name: str
    values: Vocabulary
    kind: ClassVar[Kind] = "text"

    @property
    def n_rows(self) -> int:
        """N + 1."""
        return len(self.values) + 1

    def has_value(self) -> BoolArray:
        """(N + 1,) bool, whether each item has a value."""
        ends = np.asarray(self.values.arrays()["ends"])
        return np.append(False, np.diff(ends, prepend=0) > 0)

    def take(self, rows: Int32Array) -> TextColumn:
        """The column of other items; see `CategoryColumn.take`."""
        texts = ["", *map(str, self.values.ids())]
        return TextColumn(self.name, Vocabulary.from_strings(texts[row] for row in rows[1:]))

    def concatenate(self, other: TextColumn) -> TextColumn:
        """The column of these items, followed by those of another one."""
        texts = map(str, [*self.values.ids(), *other.values.ids()])
        return TextColumn(self.name, Vocabulary.from_strings(texts))

    def save(self, folder: Path) -> None:
        """Write the files of the column."""
        self.values.save(folder)

    @classmethod
    def open(cls, name: str, folder: Path, n_items: int) -> TextColumn:
        """Open the files of the column."""
        texts = Vocabulary.open(folder)
        check_length("texts", np.empty(len(texts)), n_items)
        return cls(name, texts)


ItemColumn: TypeAlias = CategoryColumn | NumberColumn | TextColumn
_COLUMN_TYPES: dict[str, type[ItemColumn]] = {
    column.kind: column for column in (CategoryColumn, NumberColumn, TextColumn)
}


class ItemTable:
    """The features of the items of a vocabulary.

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
                columns.append(_COLUMN_TYPES[entry["kind"]].open(entry["name"], file, n_items))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{file}: not a column of an item table: {error!r}") from error
        return cls(n_items, columns)


def _wrong_kind(column: ItemColumn, expected: str) -> ConfigError:
    return ConfigError(
        f"column {column.name!r} of the item table is of the kind {column.kind}, not {expected}; "
        f"prepare the log with --items-kind {column.name}={expected}"
    )
