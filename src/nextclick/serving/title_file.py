"""The titles of items, out of a CSV file."""

from __future__ import annotations

import csv
import logging
import threading
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.errors import ConfigError
from nextclick.serving.text_index import Texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from nextclick.core.types import Int32Array
    from nextclick.core.vocabulary import Vocabulary

log = logging.getLogger("nextclick.serving")
_AT_ONCE = 1 << 14  # rows that are Python strings at one time
_ITEM = ("item", "itemid", "id")  # names of columns, as `_plain` has them
_TITLE = ("title", "name")


class Placed(NamedTuple):
    """Whose the titles are in one catalog of N items.

    Attributes:
        items: (rows,) int32, the item of each title; 0 for those that no item of it takes.
        rows: (N + 1,) int32, the title of each item; -1 where there is none.
        unknown: how many titles are of ids that the catalog lacks.
        again: how many are of an item that has one already; the first one counts.
    """

    items: Int32Array
    rows: Int32Array
    unknown: int
    again: int


class Titles:
    """Titles by raw id, of any catalog.

    Attributes:
        ids: raw ids as the file has them.
        texts: the title of each.
        folded: the same for searching.
        bare: rows of the file without an id or without a title, which are passed over.
    """

    def __init__(self, rows: Iterable[tuple[str, str]] = ()):
        self.ids, self.texts = Texts(), Texts()
        self.bare = 0
        rest = iter(rows)
        while some := list(islice(rest, _AT_ONCE)):
            whole = [row for row in some if row[0] and row[1]]
            self.bare += len(some) - len(whole)
            self.ids.add([item for item, _ in whole])
            self.texts.add([title for _, title in whole])
        self.folded = self.texts.folded()

    def placed(self, items: Vocabulary) -> Placed:
        """Find the items of a catalog; ids match as they do in a request."""
        index = items.indices(self.ids)
        order = np.arange(len(index), dtype=np.int32)
        rows = np.full(len(items) + 1, -1, dtype=np.int32)
        rows[index[::-1]] = order[::-1]  # of several the first one is written last, and stays
        rows[0] = -1
        again = (index > 0) & (rows[index] != order)
        unknown = int(np.sum(index == 0))
        index[again] = 0
        return Placed(index, rows, unknown, int(np.sum(again)))


class TitleFile:
    """A file of titles, which may be replaced while a server runs.

    Raises:
        ConfigError: it cannot be read, or holds no titles.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._reading = threading.Lock()
        self._stamp = self._now()
        self._titles = read_titles(self._path)

    def titles(self) -> Titles:
        """What the file says; if it cannot be read any more, what it said before."""
        with self._reading:
            stamp = self._now()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._titles = read_titles(self._path)
                except ConfigError as error:
                    log.warning("titles stay as they were: %s", error)
            return self._titles

    def _now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None  # reading it says what is wrong
        return found.st_mtime_ns, found.st_size, found.st_ino


def read_titles(path: Path) -> Titles:
    """Read a CSV file in UTF-8 with a comma or a tab between its columns.

    A first line that names the columns `item` and `title` says where they are. Without one the
    first two columns are.

    Raises:
        ConfigError: it cannot be read, or holds no titles.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            titles = Titles(_rows(path, file))
    except OSError as error:
        raise ConfigError(
            f"--titles {path}: cannot be read: {error}; name a CSV file that this user may read"
        ) from error
    if not len(titles.texts):
        raise ConfigError(
            f"--titles {path}: holds no title; give a file with an item and its title in each line"
        )
    return titles


def _rows(path: Path, file: TextIO) -> Iterator[tuple[str, str]]:
    """Id and title of each line, without blanks around them; "" for a line that is too short."""
    reader = csv.reader(())
    try:
        first = file.readline()
        reader = csv.reader(chain([first], file), delimiter="," if "\t" not in first else "\t",
                            strict=True)  # fmt: skip
        header = next(reader)
        item, title, named = _columns(path, header)
        for row in reader if named else chain([header], reader):
            if len(row) > max(item, title):
                yield row[item].strip(), " ".join(row[title].split())
            elif row:
                yield "", ""
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--titles {path}: is not text in UTF-8 after line {reader.line_num}: {error.reason}; "
            "save it as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise ConfigError(
            f"--titles {path}: line {reader.line_num}: {error}; close each quote, and double those "
            "within a quoted title"
        ) from None


def _columns(path: Path, first: list[str]) -> tuple[int, int, bool]:
    """Where id and title stand, and whether the first line names them."""
    names = {_plain(name): n for n, name in reversed(list(enumerate(first)))}
    item, title = (
        next((names[name] for name in known if name in names), None) for known in (_ITEM, _TITLE)
    )
    if item is not None and title is not None:
        return item, title, True
    if item is None and title is None and len(first) > 1:
        return 0, 1, False
    raise ConfigError(
        f"--titles {path}: the first line must name the columns item and title, or hold an id and "
        f"a title with a comma or a tab between them, got {', '.join(first)[:80]!r}; name both"
    )


def _plain(name: str) -> str:
    """`Item-ID`, `item_id` and `ItemId` are the same name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
