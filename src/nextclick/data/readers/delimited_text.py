"""Reads CSV, TSV and other delimited text files."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.columns import check_unique
from nextclick.data.readers.sources import BAD, CHUNK_ROWS, LINE, ROW, LogSource
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SEPARATORS = ",\t;|"
_EXTRA = "__extra"  # column of the first field after the last column of the header


def text_source(
    path: Path, *, separator: str | None = None, names: Sequence[str] | None = None
) -> LogSource:
    """Open a delimited text file; every column is text.

    Args:
        path: the file; a name that ends in .gz is decompressed while it is read.
        separator: one character, or None to detect it from the first line.
        names: column names of a file without a header.

    Raises:
        ConfigError: the separator is not one character.
        SourceError: the file is empty, is not UTF-8 text, cannot be read, or has two columns of the
            same name.
    """
    if separator is not None and (len(separator) != 1 or not separator.isascii()):
        raise ConfigError(f"separator must be one ASCII character, or tab, got {separator!r}")
    first_line = _first_line(path)
    separator = separator or _guess_separator(first_line)
    header = tuple(names or _parse_header(first_line, separator))
    check_unique(header, str(path))
    first_row_line = 1 if names else 2
    table = pl.scan_csv(
        path,
        has_header=False,
        skip_lines=0 if names else 1,
        separator=separator,
        # all columns are read as text, so that an invalid value can be shown in a message
        schema=dict.fromkeys((*header, _EXTRA), pl.String),
        missing_columns="insert",
        # _EXTRA marks rows with too many fields; the fields after the first extra one are dropped
        extra_columns="ignore",
        truncate_ragged_lines=True,
        row_index_name=ROW,
        glob=False,
    ).with_columns(
        (pl.col(ROW).cast(pl.Int64) + first_row_line).alias(LINE),
        pl.when(pl.col(_EXTRA).is_not_null())
        .then(pl.lit("more fields than the header"))
        .alias(BAD),
    )

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        yield from table.select(ROW, LINE, BAD, *columns).collect_batches(
            chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"
        )

    types = dict.fromkeys(header, pl.String())
    return LogSource(str(path), types, read, lambda reason: _remedy(path, reason, first_row_line))


def _remedy(path: Path, reason: str, first_row_line: int) -> str:
    if "utf-8" not in reason.lower():
        return "check the file"
    return f"convert it to UTF-8 (iconv -t utf-8){_invalid_utf8(path, first_row_line)}"


def _invalid_utf8(path: Path, first_row_line: int) -> str:
    """Return `; the first invalid byte is in row 3 (line 4), byte 5`, or an empty text.

    Polars does not report it, so the file is read again line by line.
    """
    with _open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                row = number - first_row_line + 1
                where = f"row {row} (line {number}), byte {error.start + 1}"
                return f"; the first invalid byte is in {where}"
    return ""


def _first_line(path: Path) -> str:
    try:
        with _open_bytes(path) as file:
            line = file.readline(1 << 20).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: the first line is not UTF-8 text; convert the file (iconv -t utf-8), "
            "or set its --format"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    if not line:
        raise SourceError(f"{path}: the file is empty; expected a header and one row per click")
    return line


def _open_bytes(path: Path) -> IO[bytes]:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    file: IO[bytes] = opener(path, "rb")
    return file


def _guess_separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _parse_header(line: str, separator: str) -> list[str]:
    names = next(csv.reader(io.StringIO(line), delimiter=separator))
    # a column without a name keeps its position
    return [name.strip() or f"column {number}" for number, name in enumerate(names, start=1)]
