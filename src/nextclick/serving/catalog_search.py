"""What is known of the items of a catalog: raw ids, titles, clicks; and a search in them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving.text_index import BEGINS, ELSEWHERE, Texts, folded
from nextclick.serving.title_file import Titles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextclick.core.types import Int32Array, Int64Array, RawId
    from nextclick.core.vocabulary import Vocabulary

_EXACT = BEGINS + 1


class Catalog:
    """The items of one model.

    Args:
        items: their raw ids.
        popular: (N,) int32, the items, the most clicked first.
        support: (N + 1,) int64, how often each was clicked in training.
        titles: those of a file, of these items and of any others.
    """

    def __init__(
        self,
        items: Vocabulary,
        popular: Int32Array,
        support: Int64Array,
        titles: Titles | None = None,
    ):
        self._items = items
        self._popular = popular
        self._support = support
        self._titles = titles or Titles()
        self.placed = self._titles.placed(items)

    def find(self, text: str, limit: int) -> Int32Array:
        """Indices of at most `limit` items; the most clicked ones for an empty text.

        The item of that id comes first, then those in whose id or title a word begins with the
        text, then those that hold it elsewhere; of these, the most clicked first. Letters match
        whatever their case and accents.
        """
        wanted = folded(" ".join(text.split())).encode("utf-8", "ignore")
        if not wanted:
            return self._popular[:limit]
        marks = np.zeros(len(self._items) + 1, dtype=np.uint8)
        self._ids.mark(wanted, marks, np.arange(1, len(marks), dtype=np.int32))
        self._titles.folded.mark(wanted, marks, self.placed.items)
        marks[self._items.index(text)] = _EXACT
        ranked = marks[self._popular]
        found = [np.flatnonzero(ranked == mark)[:limit] for mark in (_EXACT, BEGINS, ELSEWHERE)]
        return self._popular[np.concatenate(found)[:limit]]

    def titles(self, raws: Iterable[RawId]) -> list[str | None]:
        """The title of each raw id; None for one that has none, or that is not of the catalog."""
        rows = self.placed.rows[self._items.indices(raws)]
        return [self._titles.texts[row] if row >= 0 else None for row in rows.tolist()]

    @property
    def titled(self) -> int:
        """How many items have a title."""
        return int(np.sum(self.placed.rows >= 0))

    def clicks(self, item: int) -> int:
        """How often an item was clicked in training."""
        return int(self._support[item])

    @cached_property
    def _ids(self) -> Texts:
        return Texts(folded(str(raw)) for raw in self._items.ids())
