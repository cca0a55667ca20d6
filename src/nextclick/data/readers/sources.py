"""Opens files, folders, globs and frames as lazy tables with numbered rows."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROW = "__row"  # column of row numbers, from 0
EXTRA = "__extra"  # column of the first field after the last column of the header
_SEPARATORS = ",\t;|"
_EMPTY_FILE = "{}: the file is empty; expected a header and one row per click"


@dataclass(frozen=True, slots=True)
class LogSource:
    """One table of a log.

    Attributes:
        label: name in messages: the path, or `frame` for a table in memory.
        table: lazy table with `ROW` and the columns, and with `EXTRA` if it is a text file.
        columns: names of the columns of the log, without `ROW` and `EXTRA`.
        first_line: line number of row 1 in a text file, else None.
    """

    label: str
    table: pl.LazyFrame
    columns: tuple[str, ...]
    first_line: int | None = None

    def location(self, row: int) -> str:
        """Return `PATH, row 3 (line 4)` for row index 2."""
        line = "" if self.first_line is None else f" (line {row + self.first_line})"
        return f"{self.label}, row {row + 1}{line}"

    def invalid_utf8_location(self) -> str:
        """Return ` in row 3 (line 4), byte 5` of the first invalid UTF-8, or an empty text.

        Polars does not report it, so the file is read again line by line.
        """
        if self.first_line is None:
            return ""
        with _open_bytes(Path(self.label)) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    row = number - self.first_line + 1
                    return f" in row {row} (line {number}), byte {error.start + 1}"
        return ""


def is_frame(source: Any) -> bool:
    """Return whether a source is a table in memory and not a path."""
    return not isinstance(source, str | Path)


def find_files(patterns: Iterable[str | Path], suffixes: Sequence[str]) -> list[Path]:
    """List the files behind paths, folders and globs: each file once, sorted within each pattern.

    Raises:
        SourceError: a path does not exist, or a folder has no file with one of the suffixes.
    """
    paths = [path for pattern in patterns for path in _expand(Path(pattern), suffixes)]
    return list(dict.fromkeys(paths))


def _expand(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and _has_suffix(p, suffixes)]
        if files:
            return files
        raise SourceError(
            f"{path}: no file in this folder ends in {', '.join(suffixes)}; pass the files "
            "by name, or choose another --format"
        )
    matches = sorted(Path(m) for m in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [m for m in matches if m.is_file()]
    if not files:
        raise SourceError(f"{path}: no such file or folder; check the path or the glob pattern")
    return files


def _has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and name.endswith(tuple(suffixes))


def scan_file(
    path: Path, *, separator: str | None = None, names: Sequence[str] | None = None
) -> LogSource:
    """Open a CSV, TSV, JSON-lines or Parquet file without reading its rows.

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
    if path.stat().st_size == 0:
        raise SourceError(_EMPTY_FILE.format(path))
    name = path.name.lower()
    if name.endswith(".parquet"):
        return scan_frame(_with_source_errors(path, lambda: pl.scan_parquet(path)), label=str(path))
    if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return scan_frame(_with_source_errors(path, lambda: pl.scan_ndjson(path)), label=str(path))
    first_line = _first_line(path)
    separator = separator or _guess_separator(first_line)
    header = tuple(names or _parse_header(first_line, separator))
    _check_unique(header, str(path))
    table = pl.scan_csv(
        path,
        has_header=False,
        skip_lines=0 if names else 1,
        separator=separator,
        # all columns are read as text, so that an invalid value can be shown in a message
        schema=dict.fromkeys((*header, EXTRA), pl.String),
        missing_columns="insert",
        # EXTRA marks rows with too many fields; the fields after the first extra one are dropped
        extra_columns="ignore",
        truncate_ragged_lines=True,
        row_index_name=ROW,
        glob=False,
    )
    return LogSource(str(path), table, header, first_line=1 if names else 2)


def scan_frame(frame: Any, label: str = "frame") -> LogSource:
    """Open a Polars or pandas frame.

    Raises:
        SourceError: the object is not a frame, or cannot be read.
    """
    if isinstance(frame, pl.DataFrame):
        frame = frame.lazy()
    elif not isinstance(frame, pl.LazyFrame):
        frame = _from_pandas(frame).lazy()
    columns = tuple(_with_source_errors(label, frame.collect_schema).names())
    return LogSource(label, frame.drop(ROW, strict=False).with_row_index(ROW), columns)


def _from_pandas(frame: Any) -> pl.DataFrame:
    if type(frame).__module__.partition(".")[0] != "pandas":
        raise SourceError(
            f"a log must be a path, a Polars frame or a pandas frame, got {type(frame).__name__}"
        )
    _check_unique([str(name) for name in frame.columns], "frame")
    return pl.DataFrame({str(name): _from_pandas_column(frame[name]) for name in frame.columns})


def _from_pandas_column(column: Any) -> pl.Series:
    """Convert a column without pyarrow; values of Python objects become text."""
    values = column.to_numpy()
    if values.dtype != object:
        return pl.Series(values, nan_to_null=True)
    missing = column.isna().to_numpy()
    return pl.Series(
        [None if null else str(value) for value, null in zip(values, missing, strict=True)],
        dtype=pl.String,
    )


def _check_unique(columns: Sequence[str], label: str) -> None:
    duplicates = [name for name in dict.fromkeys(columns) if name and columns.count(name) > 1]
    if duplicates:
        raise SourceError(f"{label}: duplicate column {duplicates[0]!r}; rename one of the two")


def _with_source_errors(label: object, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{label}: cannot be read: {error}") from error


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
        raise SourceError(_EMPTY_FILE.format(path))
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
