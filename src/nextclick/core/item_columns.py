"""The columns of an item table: categories, numbers and texts, by item index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from nextclick.core.array_checks import ArrayError, check_length, check_range, open_array
from nextclick.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import BoolArray, Float64Array, Int32Array

Kind = Literal["category", "number", "text"]
KINDS: tuple[str, ...] = get_args(Kind)


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
COLUMN_TYPES: dict[str, type[ItemColumn]] = {
    column.kind: column for column in (CategoryColumn, NumberColumn, TextColumn)
}
