"""The category of every item, out of a catalog or out of the raw log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.core.types import silent
from nextclick.data.encode import whole_numbers
from nextclick.data.readers.click_rows import CHUNK_ROWS
from nextclick.data.readers.columns import COMMON_NAMES
from nextclick.data.readers.formats import dialect
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
    """Where categories are read from.

    Attributes:
        path: a file, folder or glob: a catalog, or the raw log itself.
        item: name of the column of items, None to find it.
        category: name of the column of categories, None to find it.
        format: a log format by name, for files without a header (see `data.dialects`).
    """

    path: str | Path
    item: str | None = None
    category: str | None = None
    format: str = "table"


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """The categories of a store's items.

    Attributes:
        of_item: (N + 1,) int32, category of an item's index in 1..n; 0 where it has none.
        n: how many categories the items have.
        columns: the names of the two columns, `item` and `category`.
    """

    of_item: Int32Array
    n: int
    columns: dict[str, str]

    @property
    def items_without(self) -> int:
        """Items of the store without a category."""
        return int((self.of_item[1:] == 0).sum())


def read_categories(
    file: CategoryFile, items: Vocabulary, *, progress: Progress = silent
) -> Categories:
    """Read an item's category from the first row that names one; later rows do not change it.

    Reading is streaming; the distinct items of the file stay in memory.

    Args:
        file: where.
        items: the items of the store. Others are passed over.
        progress: told the rows read so far.

    Raises:
        SourceError: it cannot be read, a column is missing, or no item of the store is in it.
        ConfigError: no such format.
    """
    sources = dialect(file.format).sources([file.path], separator=None, order="time")
    known = dialect(file.format).columns.item
    seen = pl.DataFrame(schema={"item": pl.String, "category": pl.String})
    columns: dict[str, str] = {}
    rows = 0
    for source in sources:
        found = {
            "item": _find("item", file.item or known, COMMON_NAMES["item"], source),
            "category": _find("category", file.category, _COMMON_CATEGORIES, source),
        }
        columns = columns or found
        for chunk in _chunks(source, found):
            rows += chunk.height
            progress("categories", rows, None)
            seen = pl.concat([seen, chunk.drop_nulls()]).unique(
                subset="item", keep="first", maintain_order=True
            )
    return _of_items(seen, items, columns, str(file.path))


def _of_items(
    seen: pl.DataFrame, items: Vocabulary, columns: dict[str, str], label: str
) -> Categories:
    indices = items.indices(seen["item"])
    listed = np.flatnonzero(indices)
    if len(listed) == 0:
        raise SourceError(
            f"{label}: none of the store's {len(items):,} items stands in column "
            f"{columns['item']!r}; name the column of items with --item"
        )
    names, codes = np.unique(seen["category"].gather(listed).to_numpy(), return_inverse=True)
    of_item = np.zeros(len(items) + 1, np.int32)
    of_item[indices[listed]] = codes + 1
    return Categories(of_item, len(names), columns)


def _find(role: str, asked: str | None, common: Sequence[str], source: LogSource) -> str:
    """The column of that name, or the first of the common names that is there."""
    if asked in source.columns:
        return str(asked)
    available = ", ".join(source.columns)
    if asked is not None:
        raise SourceError(
            f"{source.label}: there is no column {asked!r} (asked for as the {role} column): "
            f"{nearest(asked, source.columns)}; the file has {available}"
        )
    plain = {_plain(column): column for column in reversed(source.columns)}
    for name in common:
        if _plain(name) in plain:
            return plain[_plain(name)]
    raise SourceError(
        f"{source.label}: no {role} column found among {available}; name it with --{role}"
    )


def _plain(name: str) -> str:
    """As in `data.columns`: case and punctuation do not count, nor what follows a colon."""
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def _chunks(source: LogSource, columns: dict[str, str]) -> Iterator[pl.DataFrame]:
    table = source.table.select(**columns)
    try:
        for chunk in table.collect_batches(
            chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"
        ):
            yield chunk.select(**{role: _text(chunk[role]) for role in columns})
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{source.label}: cannot be read: {error}") from error


def _text(ids: pl.Series) -> pl.Series:
    """Ids as text, null where there is none; 12.0 of a column with gaps is `12`."""
    whole = whole_numbers(ids)
    text = (ids if whole is None else whole).cast(pl.String).str.strip_chars()
    return text.set(text.str.len_bytes() == 0, None)
