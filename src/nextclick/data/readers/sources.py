"""Files, folders, globs and frames as lazy tables, whose rows know their number."""

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

ROW = "__row"  # number of the row, from 0
EXTRA = "__extra"  # what stands after the last column of the header
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".inter", ".parquet", ".jsonl", ".ndjson")
_SEPARATORS = ",\t;|"
_EMPTY = "{}: the file is empty; expected a header and a row for each click"


@dataclass(frozen=True, slots=True)
class LogSource:
    """One table of a log.

    Attributes:
        label: what messages call it: the path, or `frame` for a table from memory.
        table: lazy; has `ROW` and the columns, and `EXTRA` if it comes from a text file.
        columns: the names of the log's own columns.
        first_line: the line of the file that row 1 stands on, None if the file has no lines.
    """

    label: str
    table: pl.LazyFrame
    columns: tuple[str, ...]
    first_line: int | None = None

    def where(self, row: int) -> str:
        """Return `PATH, row 3 (line 4)` for row index 2."""
        line = "" if self.first_line is None else f" (line {row + self.first_line})"
        return f"{self.label}, row {row + 1}{line}"

    def first_bad_text(self) -> str:
        """Return where the first line that is not UTF-8 stands, or nothing if it is not found.

        Polars does not say; the file is read once more, line by line.
        """
        if self.first_line is None:
            return ""
        with _opened(Path(self.label)) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    row = number - self.first_line + 1
                    return f" in row {row} (line {number}), byte {error.start + 1}"
        return ""


def find_files(
    patterns: Iterable[str | Path], suffixes: Sequence[str] = TABLE_SUFFIXES
) -> list[Path]:
    """List the files behind paths, folders and globs, sorted within each, no file twice.

    Raises:
        SourceError: a path that does not exist, or a folder without a file that fits.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _expand(Path(pattern), suffixes):
            found[path] = None
    return list(found)


def _expand(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and _fits(p, suffixes)]
        if files:
            return files
        raise SourceError(
            f"{path}: no file in this folder ends in {', '.join(suffixes)}; name the files, "
            "or a --format whose files have other names"
        )
    matches = sorted(Path(m) for m in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [m for m in matches if m.is_file()]
    if not files:
        raise SourceError(f"{path}: no such file, folder or glob")
    return files


def _fits(path: Path, suffixes: Sequence[str]) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and name.endswith(tuple(suffixes))


def scan_file(
    path: Path, *, separator: str | None = None, names: Sequence[str] | None = None
) -> LogSource:
    """Open one CSV, TSV, JSON-lines or Parquet file without reading its rows.

    Args:
        path: the file; a name that ends in .gz is unpacked as it is read.
        separator: one character, or None to find it in the first line.
        names: the columns of a file without a header.

    Raises:
        ConfigError: the separator is not one character.
        SourceError: the file is empty, is not text, or cannot be read, or two columns of it have
            the same name.
    """
    if separator is not None and (len(separator) != 1 or not separator.isascii()):
        raise ConfigError(f"separator must be one ASCII character, or tab, got {separator!r}")
    if path.stat().st_size == 0:
        raise SourceError(_EMPTY.format(path))
    name = path.name.lower()
    if name.endswith(".parquet"):
        return scan_frame(_quietly(path, lambda: pl.scan_parquet(path)), label=str(path))
    if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return scan_frame(_quietly(path, lambda: pl.scan_ndjson(path)), label=str(path))
    first = _first_line(path)
    mark = separator or _guess_separator(first)
    header = tuple(names or _split(first, mark))
    _refuse_twice(header, str(path))
    table = pl.scan_csv(
        path,
        has_header=False,
        skip_lines=0 if names else 1,
        separator=mark,
        # everything is read as text, so that a value that does not fit can be shown
        schema=dict.fromkeys((*header, EXTRA), pl.String),
        missing_columns="insert",
        # EXTRA says that there is more than the header names; what does not fit into it may go
        extra_columns="ignore",
        truncate_ragged_lines=True,
        row_index_name=ROW,
        glob=False,
    )
    return LogSource(str(path), table, header, first_line=1 if names else 2)


def scan_frame(frame: Any, label: str = "frame") -> LogSource:
    """Wrap a Polars or pandas frame.

    Raises:
        SourceError: it is neither, or it cannot be read.
    """
    if isinstance(frame, pl.DataFrame):
        frame = frame.lazy()
    elif not isinstance(frame, pl.LazyFrame):
        frame = _from_pandas(frame).lazy()
    columns = tuple(_quietly(label, frame.collect_schema).names())
    return LogSource(label, frame.drop(ROW, strict=False).with_row_index(ROW), columns)


def _from_pandas(frame: Any) -> pl.DataFrame:
    if type(frame).__module__.partition(".")[0] != "pandas":
        raise SourceError(
            f"a log must be a path, a Polars frame or a pandas frame, got {type(frame).__name__}"
        )
    _refuse_twice([str(name) for name in frame.columns], "frame")
    return pl.DataFrame({str(name): _from_pandas_column(frame[name]) for name in frame.columns})


def _from_pandas_column(column: Any) -> pl.Series:
    """Column by column it works without pyarrow; what numpy has no type for goes as text."""
    values = column.to_numpy()
    if values.dtype != object:
        return pl.Series(values, nan_to_null=True)
    missing = column.isna().to_numpy()
    return pl.Series(
        [None if gone else str(value) for value, gone in zip(values, missing, strict=True)],
        dtype=pl.String,
    )


def _refuse_twice(columns: Sequence[str], label: str) -> None:
    twice = [name for name in dict.fromkeys(columns) if name and columns.count(name) > 1]
    if twice:
        raise SourceError(f"{label}: there are two columns {twice[0]!r}; rename one of them")


def _quietly(label: object, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{label}: cannot be read: {error}") from error


def _first_line(path: Path) -> str:
    try:
        with _opened(path) as file:
            line = file.readline(1 << 20).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: the first line is not UTF-8 text; convert it (iconv -t utf-8), "
            "or name its --format"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    if not line:
        raise SourceError(_EMPTY.format(path))
    return line


def _opened(path: Path) -> IO[bytes]:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    file: IO[bytes] = opener(path, "rb")
    return file


def _guess_separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _split(line: str, separator: str) -> list[str]:
    names = next(csv.reader(io.StringIO(line), delimiter=separator))
    # a column without a name still takes its place
    return [name.strip() or f"column {number}" for number, name in enumerate(names, start=1)]
