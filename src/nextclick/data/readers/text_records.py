"""Reads a delimited text file record by record, without a dataframe library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextclick.data.readers.line_blocks import read_blocks
from nextclick.data.readers.text_fields import MAX_JOINED_LINES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nextclick.data.readers.line_blocks import LineBlock, Opener
    from nextclick.data.readers.text_fields import FieldSplitter


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One record of a file.

    Attributes:
        line: number of its first line, from 1.
        fields: its fields; empty for a blank line and for a bad one.
        bad: why the line cannot be read, None for a readable one.
    """

    line: int
    fields: list[str]
    bad: str | None = None


def read_records(opener: Opener, splitter: FieldSplitter, n_columns: int) -> Iterator[TextRecord]:
    """Yield the records of a stream; a record may have several lines.

    Raises:
        OSError: the stream cannot be read.
        EOFError: a compressed stream is cut short.
    """
    rest: LineBlock | None = None
    for block in read_blocks(opener):
        whole = block if rest is None else block.after(rest)
        n_read = yield from _records(whole, splitter, n_columns, is_last=False)
        rest = whole.divided(n_read)[1] if n_read < whole.n_lines else None
    if rest is not None:
        yield from _records(rest, splitter, n_columns, is_last=True)


def _records(
    block: LineBlock, splitter: FieldSplitter, n_columns: int, *, is_last: bool
) -> Generator[TextRecord, None, int]:
    """Yield the records of a block; return the number of lines that were read."""
    lines = [line.removesuffix(b"\r").decode() for line in block.lines()]
    at = 0
    while at < len(lines):
        number = block.first_line + at
        if at in block.bad or not lines[at].strip():
            yield TextRecord(number, [], block.bad.get(at))
            at += 1
            continue
        end = min([at + MAX_JOINED_LINES, len(lines), *(bad for bad in block.bad if bad > at)])
        n_joined = splitter.joins(lines[at:end], n_columns)
        if n_joined == 0 and end == len(lines) and not is_last:
            return at
        record = "\n".join(lines[at : at + max(n_joined, 1)])
        yield TextRecord(number, splitter.split(record, n_columns).values)
        at += max(n_joined, 1)
    return at
