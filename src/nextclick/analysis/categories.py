"""The category of each item, read from a catalog or from the raw log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.core.types import silent
from nextclick.data.options import ReadOptions
from nextclick.data.readers.columns import COMMON_NAMES
from nextclick.data.readers.formats import get_log_format
from nextclick.data.readers.raw_ids import clean_ids
from nextclick.data.readers.sources import BAD
from nextclick.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nextclick.core.types import Int32Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.readers.sources import LogSource

_COMMON_CATEGORIES = (
    "category_id",
    "category",
    "cat_id",
    "cat",
    "item_category",
    "product_category",
    "article_category",
    "category_code",
    "topic",
    "genre",
    "section",
    "department",
)


@dataclass(frozen=True, slots=True)
class CategoryFile:
    """A table of items and their categories.

    Attributes:
        path: a file, folder or glob: a catalog or the raw log itself.
        item: name of the item column, None to detect it.
        category: name of the category column, None to detect it.
        format: name of a log format, for files without a header (see `data.readers.formats`).
    """

    path: str | Path
    item: str | None = None
    category: str | None = None
    format: str = "table"


@dataclass(frozen=True, slots=True, eq=False)
class ItemCategories:
    """The categories of a store's items.

    Attributes:
        of_item: (N + 1,) int32, category of each item index in 1..n; 0 for items without one.
        n: number of categories.
        columns: names of the columns that were read, by role: `item` and `category`.
        n_unreadable: rows of the file that could not be parsed and were ignored.
    """

    of_item: Int32Array
    n: int
    columns: dict[str, str]
    n_unreadable: int = 0

    @property
    def items_without(self) -> int:
        """Number of items of the store without a category."""
        return int((self.of_item[1:] == 0).sum())


def read_categories(
    file: CategoryFile, items: Vocabulary, *, progress: Progress = silent
) -> ItemCategories:
    """Read the category of each item from its first row that has one; later rows are ignored.

    The file is streamed; its distinct items are held in memory.

    Args:
        file: the table to read.
        items: the items of the store; all others are skipped.
        progress: receives the number of rows read so far.

    Raises:
        SourceError: the file cannot be read, lacks a column, or has no item of the store.
        ConfigError: the format does not exist.
    """
    sources = get_log_format(file.format).sources([file.path], ReadOptions())
    item_column = file.item or get_log_format(file.format).columns.item
    first_rows = pl.DataFrame(schema={"item": pl.String, "category": pl.String})
    first_columns: dict[str, str] = {}
    n_rows = n_unreadable = 0
    for source in sources:
        columns = {
            "item": _find_column("item", item_column, COMMON_NAMES["item"], source),
            "category": _find_column("category", file.category, _COMMON_CATEGORIES, source),
        }
        first_columns = first_columns or columns
        for chunk in _chunks(source, columns):
            n_rows += chunk.height
            n_unreadable += int(chunk["bad"].is_not_null().sum())
            progress("categories", n_rows, None)
            first_rows = pl.concat([first_rows, chunk.drop("bad").drop_nulls()]).unique(
                subset="item", keep="first", maintain_order=True
            )
    categories = _encode(first_rows, items, first_columns, str(file.path))
    return replace(categories, n_unreadable=n_unreadable)


def _encode(
    rows: pl.DataFrame, items: Vocabulary, columns: dict[str, str], label: str
) -> ItemCategories:
    """Number the categories of the store's items from 1, in the order of their names."""
    indices = items.indices(rows["item"])
    in_store = np.flatnonzero(indices)
    if len(in_store) == 0:
        raise SourceError(
            f"{label}: column {columns['item']!r} contains none of the store's {len(items):,} "
            "items; name the item column with --item"
        )
    names, codes = np.unique(rows["category"].gather(in_store).to_numpy(), return_inverse=True)
    of_item = np.zeros(len(items) + 1, np.int32)
    of_item[indices[in_store]] = codes + 1
    return ItemCategories(of_item, len(names), columns)


def _find_column(role: str, name: str | None, common: Sequence[str], source: LogSource) -> str:
    """The column `name` or, if that is None, the first column with one of the common names."""
    if name in source.columns:
        return str(name)
    available = ", ".join(source.columns)
    if name is not None:
        raise SourceError(
            f"{source.label}: {role} column {name!r} does not exist: "
            f"{nearest(name, source.columns)}; the file has {available}"
        )
    by_normalized_name = {_normalized(column): column for column in reversed(source.columns)}
    for candidate in map(_normalized, common):
        if candidate in by_normalized_name:
            return by_normalized_name[candidate]
    raise SourceError(
        f"{source.label}: no {role} column found among {available}; name it with --{role}"
    )


def _normalized(name: str) -> str:
    """As in `data.readers.columns`: lower-case letters and digits up to the first colon."""
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def _chunks(source: LogSource, columns: dict[str, str]) -> Iterator[pl.DataFrame]:
    for chunk in source.frames(list(columns.values())):
        bad = chunk[BAD] if BAD in chunk.columns else pl.lit(None, pl.String)
        yield chunk.select(**{role: _text(chunk[name]) for role, name in columns.items()}, bad=bad)


def _text(ids: pl.Series) -> pl.Series:
    """Ids as text, missing ones as null; 12.0 in a float column with nulls becomes `12`."""
    return clean_ids(ids).cast(pl.String)
