"""Item titles from a CSV file."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.data.readers.containers import open_stream
from nextclick.data.readers.line_blocks import read_first_lines
from nextclick.data.readers.text_fields import FieldSplitter
from nextclick.data.readers.text_records import read_records
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger("nextclick.serving")
_ITEM_COLUMNS = ("item", "itemid", "id")  # names as normalized by `_normalized`
_SAMPLE_LINES = 100
_TITLE_COLUMNS = ("title", "name")


@dataclass(slots=True)
class TitleTable:
    """Titles by raw id, for any catalog.

    Attributes:
        ids: raw ids as written in the file.
        titles: the title of each id.
        n_incomplete: rows without an id or a title, or with more fields than the first line, which
            are ignored.
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
    """Read a CSV file with comma- or tab-separated columns, which may be compressed.

    If the first line names the columns `item` and `title`, those columns are read; otherwise the
    first two columns are read, starting with the first line.

    Raises:
        ConfigError: the file cannot be read or contains no title.
    """
    try:
        table = TitleTable.of(_rows(path))
    except (OSError, EOFError) as error:
        raise ConfigError(
            f"--titles {path}: cannot be read: {error}; name a CSV file that this user may read"
        ) from error
    if not table.titles:
        raise ConfigError(
            f"--titles {path}: contains no title; write an item id and its title on each line"
        )
    return table


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Stripped id and title of each record; empty strings for one with too few or many columns.

    Raises:
        ConfigError: a line cannot be read, or the first one names other columns.
    """
    opener = partial(open_stream, path)
    lines, bad = read_first_lines(opener, _SAMPLE_LINES)
    for index, reason in bad.items():
        raise _unreadable(path, index + 1, reason)
    first = next((line for line in lines if line.strip()), b"").decode()
    splitter = FieldSplitter("\t" if "\t" in first else ",")
    names = splitter.split(first).values
    item, title, has_header = _columns(path, names)
    is_header = has_header
    for record in read_records(opener, splitter, len(names)):
        if record.bad is not None:
            raise _unreadable(path, record.line, record.bad)
        fields = record.fields
        if is_header or not fields:
            is_header = is_header and not fields
        elif max(item, title) < len(fields) and not any(fields[len(names) :]):
            yield fields[item].strip(), " ".join(fields[title].split())
        else:
            yield "", ""


def _unreadable(path: Path, line: int, reason: str) -> ConfigError:
    return ConfigError(f"--titles {path}, line {line}: {reason}; save the file as CSV in UTF-8")


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
