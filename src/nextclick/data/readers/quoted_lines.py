"""Sorts the lines of a block by how their quotes are parsed."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.data.readers.text_fields import MAX_JOINED_LINES, FieldSplitter, escaped

if TYPE_CHECKING:
    from collections.abc import Collection

    from nextclick.core.types import BoolArray, Int64Array


@dataclass(frozen=True, slots=True)
class SortedLines:
    """The lines of a block, in three groups.

    Attributes:
        lines: (L,) the lines without line ends.
        is_text: (L,) lines whose quotes, if any, are text.
        is_quoted: (L,) lines whose quotes all belong to quoted fields.
        records: text of each other record by the index of its first line; it may hold line breaks.
        continuation: (C,) indices of the lines that continue a record, ascending.
    """

    lines: pl.Series
    is_text: BoolArray
    is_quoted: BoolArray
    records: dict[int, str]
    continuation: Int64Array

    def of(self, group: BoolArray) -> tuple[bytes, Int64Array]:
        """Return the text of a group of lines, and their indices."""
        text = self.lines.filter(pl.Series(group)).str.join("\n").item()
        return f"{text}\n".encode(), np.flatnonzero(group)


def sort_lines(
    data: bytes,
    splitter: FieldSplitter,
    n_columns: int,
    *,
    bad: Collection[int] = (),
    is_last: bool,
) -> SortedLines:
    """Sort lines by how they are parsed, and join the lines of records with line breaks.

    Unless `is_last`, the result ends before a record that may continue after the last line.

    Args:
        data: lines that end with LF or CR LF.
        splitter: separator of one character, and quotes.
        n_columns: number of columns of the file.
        bad: indices of lines that cannot be read, which belong to no other record.
        is_last: whether the last line ends the file.
    """
    text = pl.Series([data.replace(b"\r\n", b"\n")[:-1]], dtype=pl.Binary).cast(pl.String)
    lines = text.str.split("\n").explode()
    groups = _Groups.of(lines, splitter, n_columns)
    joined, n_lines = _join(lines, groups, splitter, n_columns, sorted(bad), is_last=is_last)
    lines = lines.head(n_lines)
    records = {n: "\n".join(lines.slice(n, length).to_list()) for n, length in joined.items()}
    in_record = np.zeros(n_lines, dtype=np.bool_)
    for first, n_joined in joined.items():
        in_record[first : first + n_joined] = True
    is_text = groups.is_text[:n_lines] & ~in_record
    is_quoted = groups.is_quoted[:n_lines] & ~in_record
    alone = np.flatnonzero(~(is_text | is_quoted | in_record))
    records |= dict(zip(alone.tolist(), lines.gather(alone).to_list(), strict=True))
    starts = np.fromiter(joined, dtype=np.int64, count=len(joined))
    in_record[starts] = False
    return SortedLines(
        lines, is_text, is_quoted, dict(sorted(records.items())), np.flatnonzero(in_record)
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """How each line is parsed if it is a record.

    Attributes:
        is_text: (L,) quotes, if any, are text.
        is_quoted: (L,) every quote belongs to a quoted field.
        may_be_open: (L,) a quote opens a field and may not close.
        may_be_list: (L,) such a field begins with a bracket.
        n_separators: (L,) number of separators, also within quotes.
    """

    is_text: BoolArray
    is_quoted: BoolArray
    may_be_open: BoolArray
    may_be_list: BoolArray
    n_separators: Int64Array

    @classmethod
    def of(cls, lines: pl.Series, splitter: FieldSplitter, n_columns: int) -> _Groups:
        separator = escaped(splitter.separator)
        start = rf"(?:^|{separator})" + ("" if splitter.separator == " " else " *")
        quoted = r'"(?:[^"]|"")*"'
        one_field = rf'(?:{quoted}|[^"{separator}]*)'
        opens = lines.str.contains(rf'{start}"').to_numpy()
        is_regular = np.zeros(len(lines), dtype=np.bool_)
        has_quoted = is_regular.copy()
        candidates = lines.filter(pl.Series(opens))
        is_regular[opens] = candidates.str.contains(
            rf"^{one_field}(?:{separator}{one_field})*$"
        ).to_numpy()
        has_quoted[opens] = candidates.str.contains(
            rf"{start}{quoted} *(?:{separator}|$)"
        ).to_numpy()
        n_separators = _count(lines, splitter.separator)
        n_outside = n_separators.copy()
        n_outside[is_regular] = _count(
            lines.filter(pl.Series(is_regular)).str.replace_all(quoted, ""), splitter.separator
        )
        is_text = ~opens
        if splitter.quote == "auto":
            # as in `FieldSplitter.split`: quotes that hide a separator of a whole row are text
            is_text |= (n_separators == n_columns - 1) & (n_outside < n_separators)
            is_text |= opens & ~has_quoted
            # an escaped quote may hide a separator, which is found line by line
            has_escape = lines.str.contains('\\"', literal=True).to_numpy()
            is_text &= ~(has_escape & (n_separators >= n_columns))
        may_be_open = opens & ~is_regular
        may_be_list = np.zeros(len(lines), dtype=np.bool_)
        may_be_list[may_be_open] = (
            lines.filter(pl.Series(may_be_open)).str.contains(rf'{start}"\[').to_numpy()
        )
        # a field after the first extra one is found line by line
        return cls(
            is_text=is_text & (n_separators <= n_columns),
            is_quoted=is_regular & ~is_text & (n_outside <= n_columns),
            may_be_open=may_be_open,
            may_be_list=may_be_list,
            n_separators=n_separators,
        )


def _count(lines: pl.Series, separator: str) -> Int64Array:
    counts: Int64Array = lines.str.count_matches(separator, literal=True).to_numpy()
    return counts.astype(np.int64)


def _join(
    lines: pl.Series,
    groups: _Groups,
    splitter: FieldSplitter,
    n_columns: int,
    bad: list[int],
    *,
    is_last: bool,
) -> tuple[dict[int, int], int]:
    """Find the records with line breaks.

    Returns:
        The number of lines of each record by the index of its first line; and the number of lines
        before a record that may continue after the last line.
    """
    n_joined: dict[int, int] = {}
    next_line = 0
    # a line with an unclosed quote and the line after it are mostly rows, which are not joined
    is_row = groups.n_separators == n_columns - 1
    between_rows = is_row & np.append(is_row[1:], False) & ~groups.may_be_list
    for first in np.flatnonzero(groups.may_be_open & ~between_rows).tolist():
        if first < next_line:
            continue
        end = min(first + MAX_JOINED_LINES, *bad[bisect(bad, first) :][:1], len(lines))
        length = splitter.joins(lines.slice(first, end - first).to_list(), n_columns)
        if length == 0 and end == len(lines) and not is_last:
            return n_joined, first
        if length > 1:
            n_joined[first] = length
            next_line = first + length
    return n_joined, len(lines)
