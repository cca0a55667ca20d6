"""The item catalog of a model: titles and other details, click counts, and text search.

The search matches substrings of item ids and titles with SQLite FTS5 (trigram tokenizer) in an
in-memory database. Items are stored in order of popularity, so that SQLite returns matches in the
order of the results and stops at the limit.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
import weakref
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.serving.item_details import ItemDetails, ItemRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nextclick.core.types import Int32Array, Int64Array, RawId
    from nextclick.core.vocabulary import Vocabulary

_WORD = "a-z0-9\x80-\U0010ffff"  # letters and digits of folded text
_WORD_START = re.compile(f"(?<![{_WORD}])(?=[{_WORD}])")
# Precedes each word, so that "a word begins with x" is the substring _MARK + x. With two characters
# of its own, that substring has a trigram for any x.
_MARK = "\x02\x03"
_CONTROL = {0: "\ufffd", 2: "\ufffd", 3: "\ufffd", ord("\n"): " "}
_COMBINING = re.compile("[\u0300-\u036f]+")
_PUNCTUATION = str.maketrans("‘’“”–—", "''\"\"--")
_WILDCARD = re.compile(r"[*?\[]")  # of GLOB
_UNKNOWN = ItemDetails()
_TRIGRAM = 3  # characters of the shortest pattern that the index can answer

_SCHEMA = """
CREATE TABLE item (popularity_rank INTEGER PRIMARY KEY, text TEXT);
CREATE VIRTUAL TABLE item_index USING fts5(
    text, content='item', content_rowid='popularity_rank', detail='none',
    tokenize='trigram case_sensitive 1'
);
"""
_INDEXED = (
    "SELECT rowid FROM item_index WHERE text GLOB ? AND instr(text, ?) > 0 ORDER BY rowid LIMIT ?"
)
_SCAN = "SELECT popularity_rank FROM item WHERE instr(text, ?) > 0 ORDER BY popularity_rank LIMIT ?"


class CatalogSearch:
    """Substring search over texts that are ordered by popularity. Safe to use from any thread.

    Args:
        rows: id and title of each item, the most popular first; a title may be empty.

    Raises:
        ConfigError: this Python's SQLite lacks FTS5 or its trigram tokenizer.
    """

    def __init__(self, rows: Iterable[tuple[str, str]]):
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        _create_tables(self._database)
        self._database.executemany(
            "INSERT INTO item VALUES (?, ?)", enumerate(_searchable(rows), start=1)
        )
        self._database.execute("INSERT INTO item_index(item_index) VALUES ('rebuild')")
        self._database.commit()

    def find(self, text: str, limit: int) -> list[int]:
        """Popularity ranks of at most `limit` items, 1 the most popular.

        Items with a word that begins with the text come first, then items that contain it
        elsewhere. Case and accents are ignored.
        """
        pattern = _mark_words(fold(" ".join(text.split())))
        if not pattern:
            return []
        starts = self._matches(pattern, limit)
        if len(starts) == limit:
            return starts
        known = set(starts)
        anywhere = self._matches(pattern[len(_MARK) :], limit)
        return (starts + [rank for rank in anywhere if rank not in known])[:limit]

    def _matches(self, pattern: str, limit: int) -> list[int]:
        # The index receives one run of ordinary characters: SQLite 3.40 reads invalid memory
        # if a glob has a second run, and one of them is shorter than a trigram.
        run = max(_WILDCARD.split(pattern), key=len)
        query, arguments = _SCAN, [pattern, limit]
        if len(run) >= _TRIGRAM:
            query, arguments = _INDEXED, [f"*{run}*", pattern, limit]
        with self._lock:
            return [rank for (rank,) in self._database.execute(query, arguments)]


class ItemCatalog:
    """The items of one model.

    Args:
        items: raw ids.
        popular: (N,) int32, item indices, the most clicked first.
        support: (N + 1,) int64, training clicks of each item.
        rows: details by raw id, of these and any other items.

    Attributes:
        n_titled: items with a title.
        n_detailed: items with a picture, a price, a link or a category.
        n_unknown: rows whose id is not in the catalog.
        n_duplicate: rows of an item that already has one; the first one is used.
    """

    def __init__(
        self,
        items: Vocabulary,
        popular: Int32Array,
        support: Int64Array,
        rows: ItemRows | None = None,
    ):
        self._items = items
        self._popular = popular
        self._support = support
        self._details: list[ItemDetails] = [_UNKNOWN] * (len(items) + 1)
        self.n_unknown = self.n_duplicate = 0
        self._assign(rows or ItemRows())
        self.n_titled = sum(details.title is not None for details in self._details)
        self.n_detailed = sum(details.has_more for details in self._details)
        self._search = CatalogSearch(self._rows())

    def find(self, text: str, limit: int) -> Int32Array:
        """Indices of at most `limit` items; the most clicked ones if the text is empty.

        The item whose id equals the text comes first, then items with a word in id or title that
        begins with the text, then items that contain it elsewhere; each group by clicks.
        """
        if not fold(text).strip():
            return self._popular[:limit]
        ranks = np.array(self._search.find(text, limit), dtype=np.int64)
        found = self._popular[ranks - 1]
        exact = self._items.index(text)
        if exact:
            found = np.concatenate([np.array([exact], np.int32), found[found != exact]])
        return found[:limit]

    def titles(self, raw_ids: Iterable[RawId]) -> list[str | None]:
        """The title of each raw id; None for an unknown id or an item without a title."""
        return [details.title for details in self.details(raw_ids)]

    def details(self, raw_ids: Iterable[RawId]) -> list[ItemDetails]:
        """The details of each raw id; without a value for an unknown id."""
        return [self._details[index] for index in self._items.indices(raw_ids).tolist()]

    def clicks(self, item: int) -> int:
        """Training clicks of an item."""
        return int(self._support[item])

    def _assign(self, rows: ItemRows) -> None:
        indices = self._items.indices(rows.ids).tolist()
        for index, details in zip(indices, rows.details, strict=True):
            if index == 0:
                self.n_unknown += 1
            elif self._details[index] is _UNKNOWN:
                self._details[index] = details
            else:
                self.n_duplicate += 1

    def _rows(self) -> Iterator[tuple[str, str]]:
        ids = self._items.ids()
        for index in self._popular.tolist():
            yield str(ids[index - 1]), self._details[index].title or ""


def fold(text: str) -> str:
    """Normalize text for search: no case, no accents, typewriter quotes and dashes.

    >>> fold("Crème Brûlée"), fold("Straße"), fold("L’Été")
    ('creme brulee', 'strasse', "l'ete")
    """
    if text.isascii():
        folded = text.lower()
    else:
        decomposed = unicodedata.normalize("NFKD", text.translate(_PUNCTUATION).casefold())
        folded = _COMBINING.sub("", decomposed).encode("utf-8", "ignore").decode()
    return folded.translate(_CONTROL)


def _mark_words(folded: str) -> str:
    """Put a mark before each word, and before the text."""
    marked = _WORD_START.sub(_MARK, folded)
    return marked if not marked or marked.startswith(_MARK) else _MARK + marked


def _searchable(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for raw, title in rows:
        yield f"{_mark_words(fold(raw))}\n{_mark_words(fold(title))}"


def _create_tables(database: sqlite3.Connection) -> None:
    try:
        database.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        raise ConfigError(
            "item search needs SQLite 3.34 or later with FTS5 and its trigram tokenizer, got "
            f"SQLite {sqlite3.sqlite_version}: {error}; use a Python that is linked to such a "
            "library"
        ) from error
