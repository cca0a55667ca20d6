"""The item file of a server: titles, pictures, prices, links and categories.

A CSV file is read as every text file, JSON lines line by line. A Parquet file is read by a process
of its own, which prints JSON lines, so that the server loads no dataframe library.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nextclick.data.readers.containers import content_kind, open_stream
from nextclick.data.readers.line_blocks import read_first_lines
from nextclick.data.readers.text_fields import FieldSplitter
from nextclick.data.readers.text_records import read_records
from nextclick.errors import ConfigError
from nextclick.serving.item_details import COLUMNS, ITEM_COLUMN, ItemRows, normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger("nextclick.serving")
_SAMPLE_LINES = 100
_INCOMPLETE: dict[str, str] = {}
_VALUES = "title, image, price, url or category"


class ItemFile:
    """An item file that may be replaced while the server runs.

    Raises:
        ConfigError: the file cannot be read or contains no item.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._lock = threading.Lock()
        self._version = self._file_version()
        self._rows = read_items(self._path)

    def rows(self) -> ItemRows:
        """The current items; the previous ones if a changed file cannot be read."""
        with self._lock:
            version = self._file_version()
            if version != self._version:
                self._version = version
                try:
                    self._rows = read_items(self._path)
                except ConfigError as error:
                    log.warning("keeping the previous items: %s", error)
            return self._rows

    def _file_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None  # reading the file reports the error
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_items(path: Path) -> ItemRows:
    """Read a CSV file with comma- or tab-separated columns, JSON lines or Parquet.

    Text may be compressed. A CSV file whose first line names no column has an id and a title in its
    first two columns.

    Raises:
        ConfigError: the file cannot be read or contains no item.
    """
    try:
        kind = content_kind(path)
        rows = {"json": _json_rows, "parquet": _parquet_rows}.get(kind, _text_rows)(path)
        table = ItemRows.of(rows)
    except (OSError, EOFError) as error:
        raise ConfigError(
            f"--items {path}: cannot be read: {error}; name a CSV, JSON lines or Parquet file "
            "that this user may read"
        ) from error
    if not table.ids:
        raise ConfigError(
            f"--items {path}: contains no item with a {_VALUES}; write an item id and its title "
            "on each line"
        )
    return table


def _text_rows(path: Path) -> Iterator[Mapping[str, str]]:
    """The fields of each record; none for one with too few or many of them.

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
    columns = _columns(names)
    is_header = columns is not None
    if columns is None:
        if any(normalized(name) in known for name in names for known in _MAIN) or len(names) < 2:
            raise _unnamed(path, names)
        columns = {ITEM_COLUMN: 0, "title": 1}
    last = max(columns.values())
    for record in read_records(opener, splitter, len(names)):
        if record.bad is not None:
            raise _unreadable(path, record.line, record.bad)
        fields = record.fields
        if is_header or not fields:
            is_header = is_header and not fields
        elif last < len(fields) and not any(fields[len(names) :]):
            yield {name: fields[n] for name, n in columns.items()}
        else:
            yield _INCOMPLETE


_MAIN = (COLUMNS[ITEM_COLUMN], COLUMNS["title"])


def _columns(names: Iterable[str]) -> dict[str, int] | None:
    """Column to its position; None unless the id and another column are named."""
    positions = {normalized(name): n for n, name in reversed(list(enumerate(names)))}
    columns = {
        column: next(positions[name] for name in known if name in positions)
        for column, known in COLUMNS.items()
        if any(name in positions for name in known)
    }
    return columns if ITEM_COLUMN in columns and len(columns) > 1 else None


def _json_rows(path: Path) -> Iterator[Mapping[str, str]]:
    with open_stream(path) as stream:
        yield from _objects(path, stream)


def _parquet_rows(path: Path) -> Iterator[Mapping[str, str]]:
    command = [sys.executable, "-m", "nextclick.data.parquet_lines", str(path)]
    known = [name for names in COLUMNS.values() for name in names]
    with subprocess.Popen(  # noqa: S603
        [*command, *known], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        yield from _objects(path, reader.stdout)
        problem = reader.stderr.read().decode(errors="replace").strip()
    if reader.returncode:
        raise ConfigError(
            f"--items {path}: this Parquet file cannot be read: {problem.splitlines()[-1]}; "
            "write it again, or save it as CSV"
        )


def _objects(path: Path, lines: Iterable[bytes]) -> Iterator[Mapping[str, str]]:
    """The fields of each line with a JSON object.

    Raises:
        ConfigError: a line has none, or the first object names other fields.
    """
    columns: dict[str, str] = {}  # name of a field to its column
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--items {path}, line {number}: not a JSON object: {error}; write one object on "
                "each line"
            ) from None
        for name in fields.keys() - columns.keys():
            columns[name] = next(
                (column for column, known in COLUMNS.items() if normalized(name) in known), ""
            )
        row = {column: _text(fields[name]) for name, column in columns.items() if name in fields}
        if ITEM_COLUMN not in columns.values():
            raise _unnamed(path, list(fields))
        yield row


def _text(value: Any) -> str:
    """A JSON value as text; empty for a missing one, a list or an object."""
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _unreadable(path: Path, line: int, reason: str) -> ConfigError:
    return ConfigError(f"--items {path}, line {line}: {reason}; save the file as CSV in UTF-8")


def _unnamed(path: Path, names: list[str]) -> ConfigError:
    return ConfigError(
        f"--items {path}: the columns must include item and one of {_VALUES}; or each line must "
        "hold an id and a title separated by a comma or tab. The first line is "
        f"{', '.join(names)[:80]!r}; name the columns"
    )
