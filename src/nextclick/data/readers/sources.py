"""One table of a log, read as frames of selected columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import polars as pl

from nextclick.data.readers.read_errors import READ_ERRORS, reason_of
from nextclick.errors import SourceError

ROW = "__row"  # number of the row in its source, from 0
LINE = "__line"  # number of the line in a text file, from 1
BAD = "__bad"  # why the row cannot be parsed, null for a readable row

CHUNK_ROWS = 500_000
TO_UTF8 = "convert the file to UTF-8 (iconv -f latin1 -t utf-8)"

ReadColumns: TypeAlias = Callable[[tuple[str, ...]], Iterator[pl.DataFrame]]


def _no_remedy(reason: str) -> str:
    del reason
    return "check the file"


@dataclass(slots=True)
class LineCounts:
    """Numbers of lines of a text file, counted while it is read.

    Every line is in one of them, except for the lines before the first row: a header, comments.
    """

    rows: int = 0  # readable or bad
    blank: int = 0
    continuation: int = 0  # lines of a row with line breaks, after its first
    before_rows: int = 0

    def reset(self) -> None:
        """Set all numbers to 0."""
        self.rows = self.blank = self.continuation = self.before_rows = 0


@dataclass(frozen=True, slots=True)
class LogSource:
    """One table of a log.

    Attributes:
        label: name in messages: the path, or `frame` for a table in memory.
        types: type of each column of the log.
        read: returns frames of the given columns in the order of the rows. Each frame has `ROW`
            and, if the source is a text file, `LINE`. A frame with rows that cannot be parsed has
            `BAD`, their reason; the columns of such a row are null.
        remedy: returns what to do about an error of the parser.
        notes: what a reader of the report should know about how the source was read.
        lines: numbers of lines of the last `read`, None if the source is not a text file.
    """

    label: str
    types: Mapping[str, pl.DataType]
    read: ReadColumns
    remedy: Callable[[str], str] = field(default=_no_remedy)
    notes: tuple[str, ...] = ()
    lines: LineCounts | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the log."""
        return tuple(self.types)

    def frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield frames of `columns` with `ROW`, and with `LINE` and `BAD` where they apply.

        Raises:
            SourceError: the source cannot be read.
        """
        try:
            yield from self.read(tuple(dict.fromkeys(columns)))
        except READ_ERRORS as error:
            raise self.error(error) from error

    def head(self, columns: Sequence[str], n_rows: int) -> pl.DataFrame:
        """Return the first rows that can be parsed, at most `n_rows`.

        Raises:
            SourceError: the source cannot be read, or none of its rows.
        """
        parts: list[pl.DataFrame] = []
        n_missing, first_bad = n_rows, None
        for frame in self.frames(columns):
            readable = frame
            if BAD in frame.columns:
                readable = frame.filter(pl.col(BAD).is_null())
                if readable.height < frame.height and first_bad is None:
                    first_bad = frame.filter(pl.col(BAD).is_not_null()).row(0, named=True)
            parts.append(readable.select(*dict.fromkeys(columns)).head(n_missing))
            n_missing -= parts[-1].height
            if n_missing <= 0:
                break
        if n_missing == n_rows and first_bad is not None:
            where = self.location(first_bad[ROW], first_bad.get(LINE))
            remedy = "check the first rows, --separator and --quote"
            if first_bad[BAD].startswith("invalid UTF-8"):
                remedy = TO_UTF8
            elif first_bad[BAD].startswith("more fields"):
                remedy += "; --columns names all fields, _ skips one"
            raise SourceError(
                f"{where}: {first_bad[BAD]}, and no row of this source can be read; {remedy}"
            )
        empty = pl.DataFrame(schema={name: self.types[name] for name in dict.fromkeys(columns)})
        return pl.concat(parts) if parts else empty

    def with_column(
        self, name: str, dtype: pl.DataType, inputs: Sequence[str], expression: pl.Expr
    ) -> LogSource:
        """Return a source with one more column, computed from the columns `inputs`."""

        def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
            stored = [column for column in columns if column != name]
            for frame in self.read(tuple(dict.fromkeys((*stored, *inputs)))):
                extra = [column for column in inputs if column not in stored]
                yield frame.with_columns(expression.alias(name)).drop(
                    column for column in extra if column != name
                )

        return replace(self, types={**self.types, name: dtype}, read=read)

    def explode(self, columns: Sequence[str]) -> LogSource:
        """Return a source with one row for each element of the lists in `columns`.

        The lists of a row have the same length. A row keeps its number, and one without elements
        or without lists has no row.
        """

        def read(selected: tuple[str, ...]) -> Iterator[pl.DataFrame]:
            lists = [column for column in columns if column in selected]
            for frame in self.read(selected):
                if lists:
                    has_list = pl.any_horizontal(pl.col(lists).is_not_null())
                    frame = frame.filter(has_list).explode(lists, empty_as_null=False)
                yield frame

        inner = {name: self.types[name].inner for name in columns}  # type: ignore[attr-defined]
        return replace(self, types={**self.types, **inner}, read=read)

    def rename(self, names: Mapping[str, str]) -> LogSource:
        """Return a source with the columns renamed; other columns keep their name."""
        stored = {names.get(name, name): name for name in self.types}

        def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
            for frame in self.read(tuple(stored[column] for column in columns)):
                yield frame.rename({stored[column]: column for column in columns})

        types = {names.get(name, name): dtype for name, dtype in self.types.items()}
        return replace(self, types=types, read=read)

    def location(self, row: int, line: int | None = None) -> str:
        """Return `PATH, row 3 (line 4)` for row index 2 in line 4."""
        return f"{self.label}, row {row + 1}" + ("" if line is None else f" (line {line})")

    def error(self, error: BaseException) -> SourceError:
        """Return the error that says that the source cannot be read."""
        reason = reason_of(error)
        return SourceError(f"{self.label}: cannot be read: {reason}; {self.remedy(reason)}")


def lazy_source(table: pl.LazyFrame, label: str, *, remedy: str = "check the file") -> LogSource:
    """Return the source of a lazy table; the rows are numbered."""
    types = table.drop(ROW, strict=False).collect_schema()
    numbered = table.drop(ROW, strict=False).with_row_index(ROW)

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        yield from numbered.select(ROW, *columns).collect_batches(
            chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"
        )

    return LogSource(label, dict(types), read, lambda _: remedy)
