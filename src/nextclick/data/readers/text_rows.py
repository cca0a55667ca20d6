"""Parses blocks of lines into frames.

Each line is a row, blank, or a continuation of the row of an earlier line. Polars parses lines
without quotes and lines whose quotes are regular; the other lines are split one by one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.data.readers.quoted_lines import sort_lines
from nextclick.data.readers.sources import BAD
from nextclick.data.readers.text_fields import FieldSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.types import Int64Array
    from nextclick.data.readers.line_blocks import LineBlock

INDEX = "__index"  # index of the first line of a row in its block
_EXTRA = "__extra"  # the first field after the last column
_ONE_BYTE = "\x1f"  # replaces a separator of several characters, because Polars takes one byte
_TOO_MANY = "more fields than the header"
_TOO_FEW = "fewer fields than the header, so it is not known which one is missing"
_MAX_SHOWN = 60  # letters of a value in a reason


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """The rows of a block.

    Attributes:
        frame: the selected columns, `INDEX`, and `BAD` if a row is bad; without blank lines.
        n_blank: number of blank lines.
        continuation: (C,) indices of the lines that continue the row of an earlier line, ascending.
        rest: lines of a row that may continue in the next block, None without one.
    """

    frame: pl.DataFrame
    n_blank: int
    continuation: Int64Array
    rest: LineBlock | None


class TextRows:
    """Parses the blocks of a file.

    Args:
        splitter: separator and quotes.
        columns: names of all columns of the file.
        selected: names of the columns to read.
        needs_all_fields: a row with fewer fields than columns is bad, because the separator does
            not show which one is missing.
    """

    def __init__(
        self,
        splitter: FieldSplitter,
        columns: Sequence[str],
        selected: Sequence[str],
        *,
        needs_all_fields: bool = False,
    ) -> None:
        self._needs_all_fields = needs_all_fields
        self._splitter = splitter
        self._is_long = len(splitter.separator) > 1
        self._fast = FieldSplitter(_ONE_BYTE, splitter.quote) if self._is_long else splitter
        self._n_columns = len(columns)
        # Polars reads the columns by position, because a name may be that of an internal column
        self._positions = {name: str(columns.index(name)) for name in selected}
        self._schema = dict.fromkeys((*map(str, range(len(columns))), _EXTRA), pl.String())

    def parse(self, block: LineBlock, *, is_last: bool) -> ParsedBlock:
        """Return the rows of a block; with `is_last`, no row continues in another block."""
        data, rest = block.data, None
        continuation = np.empty(0, dtype=np.int64)
        if self._is_long and _ONE_BYTE.encode() in data:
            frame = self._split_all(block)
        else:
            if self._is_long:
                data = data.replace(self._splitter.separator.encode(), _ONE_BYTE.encode())
            if self._splitter.quote == "none" or b'"' not in data:
                frame = self._parse(data, np.arange(block.n_lines), quoted=False)
            else:
                frame, continuation, n_lines = self._parse_quoted(data, block, is_last=is_last)
                if n_lines < block.n_lines:
                    block, rest = block.divided(n_lines)
            if self._is_long:
                strings = pl.col(*self._positions.values())
                separator = self._splitter.separator
                frame = frame.with_columns(
                    strings.str.replace_all(_ONE_BYTE, separator, literal=True)
                )
        frame, n_blank = self._without_blank_lines(_with_bad_lines(frame, block.bad), block)
        return ParsedBlock(self._named(frame), n_blank, continuation, rest)

    def _parse_quoted(
        self, data: bytes, block: LineBlock, *, is_last: bool
    ) -> tuple[pl.DataFrame, Int64Array, int]:
        """Return the rows, the continuation lines, and the number of lines that were parsed."""
        lines = sort_lines(data, self._fast, self._n_columns, bad=block.bad, is_last=is_last)
        parts = [self._split(self._fast, lines.records)]
        for group, quoted in ((lines.is_text, False), (lines.is_quoted, True)):
            if group.any():
                text, index = lines.of(group)
                parts.append(self._parse(text, index, quoted=quoted))
        return pl.concat(parts).sort(INDEX), lines.continuation, len(lines.lines)

    def _parse(self, data: bytes, index: Int64Array, *, quoted: bool) -> pl.DataFrame:
        """Parse lines with Polars.

        Args:
            data: the lines, none of which has an open quote.
            index: (L,) index of each line in its block.
            quoted: whether quotes are parsed.
        """
        last = str(self._n_columns - 1)
        first = ("0",) if self._needs_all_fields else ()
        positions = list(dict.fromkeys((*first, *self._positions.values(), last)))
        table = pl.scan_csv(
            io.BytesIO(data),
            has_header=False,
            separator=self._fast.separator,
            quote_char='"' if quoted else None,
            # all columns are read as text, so that an invalid value can be shown in a message
            schema=self._schema,
            missing_columns="insert",
            extra_columns="ignore",
            truncate_ragged_lines=True,
        )
        frame = table.select(*positions, _EXTRA).collect()
        if frame.height != len(index):
            return self._split(self._fast, _records(data, index))
        far = () if quoted else self._far_extras(data, frame[last])
        bad = _bad_extra(frame[_EXTRA])
        if self._needs_all_fields:
            is_short = frame["0"].is_not_null() & frame[last].is_null()
            bad = bad.set(is_short, _TOO_FEW)
        frame = frame.select(pl.Series(INDEX, index), *self._positions.values(), bad)
        if len(far):
            return self._with_far_extras(frame, _records(data, index), index[far])
        return frame

    def _far_extras(self, data: bytes, last_column: pl.Series) -> Int64Array:
        """Return the positions of lines with more than one extra field.

        Polars drops the extra fields after the first, which is empty in a line that is not found by
        its first extra field.
        """
        separator = self._fast.separator.encode()
        letters = np.frombuffer(data, dtype=np.uint8)
        is_separator = letters == ord(separator)
        n_expected = len(last_column) * (self._n_columns - 1)
        if np.count_nonzero(is_separator) == n_expected and not last_column.null_count():
            return np.empty(0, dtype=np.int64)
        if separator * 2 not in data:
            return np.empty(0, dtype=np.int64)
        before = np.searchsorted(np.flatnonzero(is_separator), np.flatnonzero(letters == ord("\n")))
        return np.flatnonzero(np.diff(before, prepend=0) > self._n_columns)

    def _with_far_extras(
        self, frame: pl.DataFrame, records: dict[int, str], index: Int64Array
    ) -> pl.DataFrame:
        """Replace the rows of `index` by rows that are split line by line."""
        rows = self._split(self._fast, {line: records[line] for line in index.tolist()})
        others = frame.filter(~pl.col(INDEX).is_in(index))
        return pl.concat([others, rows]).sort(INDEX)

    def _split(self, splitter: FieldSplitter, records: Mapping[int, str]) -> pl.DataFrame:
        """Split records one by one."""
        columns: dict[str, list[Any]] = {name: [] for name in self._positions.values()}
        reasons: list[str | None] = []
        for record in records.values():
            fields = splitter.split(record, self._n_columns)
            reason = None
            if splitter.quote == '"' and fields.open_at is not None:
                reason = f"the quote of field {fields.open_at + 1} does not close"
            extra = next((text for text in fields.values[self._n_columns :] if text), None)
            if extra is not None:
                reason = reason or f"{_TOO_MANY}, got {extra[:_MAX_SHOWN]!r}"
            if (
                self._needs_all_fields
                and any(fields.values)
                and len(fields.values) < self._n_columns
            ):
                reason = reason or _TOO_FEW
            reasons.append(reason)
            for name, values in columns.items():
                values.append(fields.value(int(name)))
        types = dict.fromkeys((*columns, BAD), pl.String())
        frame = pl.DataFrame({**columns, BAD: reasons}, schema=types)
        return frame.select(pl.Series(INDEX, list(records), dtype=pl.Int64), *columns, BAD)

    def _split_all(self, block: LineBlock) -> pl.DataFrame:
        return self._split(self._splitter, _records(block.data, np.arange(block.n_lines)))

    def _without_blank_lines(
        self, frame: pl.DataFrame, block: LineBlock
    ) -> tuple[pl.DataFrame, int]:
        """Drop the lines without a value; return their number as well."""
        others = frame.drop(INDEX, "0", strict=False)
        if not all(column.null_count() for column in others):
            return frame, 0
        is_empty = pl.all_horizontal(pl.lit(True), pl.exclude(INDEX, "0").is_null())
        candidates = frame.filter(is_empty)
        if "0" in frame.columns:
            # a line of spaces has them in its first column
            text = pl.col("0").str.strip_chars_start(" ")
            candidates = candidates.filter(pl.col("0").is_null() | (text.str.len_bytes() == 0))
        lines, separator = block.lines(), self._splitter.separator.encode()
        indices = candidates[INDEX].to_list()
        blank = [index for index in indices if _is_blank(lines[index], separator)]
        return frame.filter(~pl.col(INDEX).is_in(blank)), len(blank)

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Name the columns; the columns of bad rows are null, and `BAD` is only there with one."""
        columns = {name: pl.col(position) for name, position in self._positions.items()}
        if frame[BAD].null_count() == frame.height:
            return frame.select(INDEX, **columns)
        readable = pl.when(pl.col(BAD).is_null())
        masked = {name: readable.then(column) for name, column in columns.items()}
        return frame.select(INDEX, BAD, **masked)


def _is_blank(line: bytes, separator: bytes) -> bool:
    """Return whether a line has only separators, after spaces."""
    return not line.lstrip(b" ").removesuffix(b"\r").replace(separator, b"")


def _records(data: bytes, index: Int64Array) -> dict[int, str]:
    lines = data.decode().replace("\r\n", "\n").split("\n")[:-1]
    return dict(zip(index.tolist(), lines, strict=True))


def _bad_extra(extra: pl.Series) -> pl.Series:
    """Return `BAD` for each row by its first extra field."""
    if extra.null_count() == len(extra):
        return pl.Series(BAD, [None], dtype=pl.String).new_from_index(0, len(extra))
    shown = pl.format(f"{_TOO_MANY}, got '{{}}'", pl.col(_EXTRA).str.slice(0, _MAX_SHOWN))
    reason = pl.when(pl.col(_EXTRA).str.len_bytes() > 0).then(shown)
    return extra.to_frame(_EXTRA).select(reason.alias(BAD)).to_series()


def _with_bad_lines(frame: pl.DataFrame, bad: Mapping[int, str]) -> pl.DataFrame:
    if not bad:
        return frame
    reason = pl.col(INDEX).replace_strict(
        list(bad), list(bad.values()), default=pl.col(BAD), return_dtype=pl.String
    )
    return frame.with_columns(reason.alias(BAD))
