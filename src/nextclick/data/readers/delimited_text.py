"""Reads CSV, TSV and other delimited text files.

A file is read in blocks of whole lines. Every line is counted: as a row, which is readable or bad,
as blank, as a continuation of a row with line breaks, or as a line before the first row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.data.readers.aligned_text import WHITESPACE, has_aligned_columns, tab_separated
from nextclick.data.readers.line_blocks import read_blocks
from nextclick.data.readers.sources import LINE, ROW, LineCounts, LogSource
from nextclick.data.readers.text_layout import detect_layout
from nextclick.data.readers.text_rows import INDEX, TextRows
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.data.readers.line_blocks import LineBlock, Opener
    from nextclick.data.readers.text_fields import Quote
    from nextclick.data.readers.text_layout import TextLayout
    from nextclick.data.readers.text_rows import ParsedBlock

_MAX_SEPARATOR = 8


def text_source(
    opener: Opener,
    label: str,
    *,
    separator: str | None = None,
    names: Sequence[str] | None = None,
    quote: Quote = "auto",
) -> LogSource:
    """Open a delimited text file; every column is text.

    Args:
        opener: opens the stream of the file, decompressed, at its start.
        label: name of the file in messages.
        separator: text between two fields, `whitespace` for runs of spaces and tabs, None to detect
            it from the first lines.
        names: names of the columns by position, for a file without a header; `_` skips one.
        quote: `auto` parses quoted fields and takes every other quote as text; `none` takes all
            quotes as text; `"` takes a row with a quote that does not close as bad.

    Raises:
        ConfigError: the separator is invalid.
        SourceError: the file is empty, cannot be read, or has no valid header.
    """
    if separator not in (None, WHITESPACE):
        _check_separator(separator)
    is_aligned = separator == WHITESPACE
    try:
        if separator is None:
            is_aligned = has_aligned_columns(opener, names)
        if is_aligned:
            opener, separator = tab_separated(opener), "\t"
        layout = detect_layout(opener, label, separator=separator, names=names, quote=quote)
    except (OSError, EOFError) as error:
        raise SourceError(f"{label}: cannot be read: {error}; check the file") from error
    lines = LineCounts()

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        rows = TextRows(layout.splitter, layout.columns, columns, needs_all_fields=is_aligned)
        yield from _read_rows(opener, layout, rows, lines)

    types = dict.fromkeys(layout.columns, pl.String())
    return LogSource(label, types, read, notes=layout.notes, lines=lines)


def _check_separator(separator: str) -> None:
    is_valid = separator.isascii() and 0 < len(separator) <= _MAX_SEPARATOR
    if not is_valid or any(letter in '"\r\n\0' for letter in separator):
        raise ConfigError(
            f"separator must be 1 to {_MAX_SEPARATOR} ASCII characters without quotes and line "
            f"ends, or tab, or {WHITESPACE}, got {separator!r}"
        )


def _read_rows(
    opener: Opener, layout: TextLayout, rows: TextRows, lines: LineCounts
) -> Iterator[pl.DataFrame]:
    """Yield the rows of each block; count the lines in `lines`."""
    lines.reset()
    n_records = 0  # rows and blank lines so far
    rest: LineBlock | None = None
    for block in _blocks_of_rows(opener, layout, lines):
        whole = block if rest is None else block.after(rest)
        parsed = rows.parse(whole, is_last=False)
        yield _numbered(parsed, whole, n_records)
        n_records += _count_lines(parsed, whole, lines)
        rest = parsed.rest
    if rest is not None:
        parsed = rows.parse(rest, is_last=True)
        yield _numbered(parsed, rest, n_records)
        _count_lines(parsed, rest, lines)


def _blocks_of_rows(opener: Opener, layout: TextLayout, lines: LineCounts) -> Iterator[LineBlock]:
    """Yield the lines from the first row on; count the lines before."""
    n_before = layout.first_row_line - 1
    for block in read_blocks(opener):
        before, rows = block.divided(n_before - lines.before_rows)
        lines.before_rows += before.n_lines
        if rows.n_lines:
            yield rows


def _numbered(parsed: ParsedBlock, block: LineBlock, n_records: int) -> pl.DataFrame:
    """Return the rows with their number in the file and their line."""
    index = parsed.frame[INDEX].to_numpy()
    row = index + n_records
    if len(parsed.continuation):
        row -= np.searchsorted(parsed.continuation, index)
    return parsed.frame.select(
        pl.Series(ROW, row), pl.Series(LINE, index + block.first_line), pl.exclude(INDEX)
    )


def _count_lines(parsed: ParsedBlock, block: LineBlock, lines: LineCounts) -> int:
    """Count the lines of a parsed block; return the number of its rows and blank lines.

    Raises:
        RuntimeError: a line was lost, which is an error of this program.
    """
    n_lines = block.n_lines - (0 if parsed.rest is None else parsed.rest.n_lines)
    n_records = parsed.frame.height + parsed.n_blank
    if n_records + len(parsed.continuation) != n_lines:
        raise RuntimeError(
            f"{n_lines} lines from line {block.first_line} were read as {parsed.frame.height} "
            f"rows, {parsed.n_blank} blank lines and {len(parsed.continuation)} continuation "
            "lines; report this as an error of nextclick"
        )
    lines.rows += parsed.frame.height
    lines.blank += parsed.n_blank
    lines.continuation += len(parsed.continuation)
    return n_records
