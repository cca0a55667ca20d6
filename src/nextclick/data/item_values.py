"""The values of an item table: the kinds of its columns, and the values as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn, TextColumn
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.readers.columns import normalized_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.item_columns import ItemColumn

# parts of the names of columns whose integers are labels
_LABEL_HINTS = (
    *("category", "categories", "brand", "type", "class", "group", "department", "color"),
    *("colour", "seller", "vendor", "shop", "genre", "artist", "author", "language", "country"),
)
_LABEL_ENDS = ("id", "code", "sku")


def without_missing_words(values: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Stripped text with null for missing values; other types as they are."""
    if values.dtype.is_float():
        return values.set(~values.is_finite(), None)
    if values.dtype != pl.String:
        return values
    text = values.str.strip_chars()
    words = ["", *(word.lower() for word in missing)]
    return text.set(text.str.to_lowercase().is_in(words), None)


def detected_kind(name: str, values: pl.Series) -> str:
    """The kind of a column, from its name and its values."""
    dtype = values.dtype
    present = values.drop_nulls()
    if dtype == pl.Boolean or len(present) == 0:
        return "category"
    if dtype.is_temporal():
        return "number"
    if not dtype.is_numeric() and not _are_numbers(present):
        return _kind_of_text(present)
    numbers = present.cast(pl.Float64, strict=False)
    return "category" if _has_label_name(name) and (numbers == numbers.floor()).all() else "number"


def _are_numbers(text: pl.Series) -> bool:
    has_zeros = text.str.contains(r"^0\d").any()  # 007 is a label
    return not has_zeros and not unreadable_numbers(text).any()


def _has_label_name(name: str) -> bool:
    letters = normalized_name(name)
    return letters.endswith(_LABEL_ENDS) or any(hint in letters for hint in _LABEL_HINTS)


def _kind_of_text(text: pl.Series) -> str:
    """Text if most values differ and have several words; else labels."""
    n_phrases = int(text.str.contains(r"\S\s+\S").sum())
    is_text = 2 * text.n_unique() > len(text) and 2 * n_phrases > len(text)
    return "text" if is_text else "category"


def unreadable_numbers(values: pl.Series) -> pl.Series:
    """(n,) bool, whether a value is present and is not a finite number."""
    numbers = _as_numbers(values)
    return values.is_not_null() & ~numbers.is_finite().fill_null(value=False)


def _as_numbers(values: pl.Series) -> pl.Series:
    if values.dtype.is_temporal() and values.dtype != pl.Time and values.dtype != pl.Duration:
        return values.cast(pl.Datetime("ms")).to_physical().cast(pl.Float64)
    return values.to_physical().cast(pl.Float64, strict=False)


def typed_column(name: str, kind: str, values: pl.Series) -> ItemColumn:
    """The column of the rows 1..R, from (R,) values with null for missing ones."""
    if kind == "number":
        numbers = _as_numbers(values).fill_null(float("nan")).to_numpy()
        return NumberColumn(name, np.concatenate([[np.nan], numbers]))
    text = _label_text(values)
    if kind == "text":
        return TextColumn(name, Vocabulary.from_strings(text.fill_null("").to_list()))
    labels = sorted(text.drop_nulls().unique().to_list())
    index = {label: code for code, label in enumerate(labels, 1)}
    codes = np.array([0, *(index.get(label, 0) for label in text.to_list())], dtype=np.int32)
    return CategoryColumn(name, Categories(codes, Vocabulary.from_strings(labels)))


def _label_text(values: pl.Series) -> pl.Series:
    """Labels as text; an integer that another type stores as 7.0 is 7."""
    if values.dtype.is_float() and (values.drop_nulls() == values.drop_nulls().floor()).all():
        values = values.cast(pl.Int64)
    return values.cast(pl.String)
