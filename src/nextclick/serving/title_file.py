"""Item titles from a CSV file."""

from __future__ import annotations

import csv
import logging
import threading
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

log = logging.getLogger("nextclick.serving")
_ITEM_COLUMNS = ("item", "itemid", "id")  # names as normalized by `_normalized`
_TITLE_COLUMNS = ("title", "name")


@dataclass(slots=True)
class TitleTable:
    """Titles by raw id, for any catalog.

    Attributes:
        ids: raw ids as written in the file.
        titles: the title of each id.
        n_incomplete: lines of the file without an id or a title, which are ignored.
    """

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    n_incomplete: int = 0

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> TitleTable:
        """Build a table of (id, title) pairs; either is empty where the line lacks it."""
        table = cls()
        for raw, title in rows:
            if raw and title:
                table.ids.append(raw)
                table.titles.append(title)
            else:
                table.n_incomplete += 1
        return table


class TitleFile:
    """A title file that may be replaced while the server runs.

    Raises:
        ConfigError: the file cannot be read or contains no title.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._lock = threading.Lock()
        self._version = self._file_version()
        self._table = read_titles(self._path)

    def table(self) -> TitleTable:
        """The current titles; the previous ones if a changed file cannot be read."""
        with self._lock:
            version = self._file_version()
            if version != self._version:
                self._version = version
                try:
                    self._table = read_titles(self._path)
                except ConfigError as error:
                    log.warning("keeping the previous titles: %s", error)
            return self._table

    def _file_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None  # reading the file reports the error
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_titles(path: Path) -> TitleTable:
    """Read a UTF-8 CSV file with comma- or tab-separated columns.

    If the first line names the columns `item` and `title`, those columns are read; otherwise the
    first two columns are read, starting with the first line.

    Raises:
        ConfigError: the file cannot be read or contains no title.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = TitleTable.of(_rows(path, file))
    except OSError as error:
        raise ConfigError(
            f"--titles {path}: cannot be read: {error}; name a CSV file that this user may read"
        ) from error
    if not table.titles:
        raise ConfigError(
            f"--titles {path}: contains no title; write an item id and its title on each line"
        )
    return table


def _rows(path: Path, file: TextIO) -> Iterator[tuple[str, str]]:
    """Stripped id and title of each line; empty strings for a line that is too short."""
    reader = csv.reader(())
    try:
        first = file.readline()
        reader = csv.reader(chain([first], file), delimiter="," if "\t" not in first else "\t",
                            strict=True)  # fmt: skip
        header = next(reader)
        item, title, has_header = _columns(path, header)
        for row in reader if has_header else chain([header], reader):
            if len(row) > max(item, title):
                yield row[item].strip(), " ".join(row[title].split())
            elif row:
                yield "", ""
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--titles {path}: invalid UTF-8 after line {reader.line_num}: {error.reason}; "
            "save the file as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise ConfigError(
            f"--titles {path}: line {reader.line_num}: {error}; close each quote, and double a "
            "quote inside a quoted title"
        ) from None


def _columns(path: Path, first: list[str]) -> tuple[int, int, bool]:
    """Positions of the id and title columns, and whether the first line is a header."""
    names = {_normalized(name): n for n, name in reversed(list(enumerate(first)))}
    item, title = (
        next((names[name] for name in known if name in names), None)
        for known in (_ITEM_COLUMNS, _TITLE_COLUMNS)
    )
    if item is not None and title is not None:
        return item, title, True
    if item is None and title is None and len(first) > 1:
        return 0, 1, False
    raise ConfigError(
        f"--titles {path}: the first line must name the columns item and title, or hold an id and "
        f"a title separated by a comma or tab, got {', '.join(first)[:80]!r}; name both columns"
    )


def _normalized(name: str) -> str:
    """`Item-ID`, `item_id` and `ItemId` are the same name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
