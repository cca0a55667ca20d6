"""Reads text whose lines a function parses into rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.data.readers.line_blocks import read_blocks
from nextclick.data.readers.sources import BAD, LINE, ROW, LogSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextclick.data.readers.line_blocks import LineBlock, Opener

    ParseLine = Callable[[str], Iterator[tuple[str | None, ...]]]


def line_source(
    opener: Opener, label: str, columns: Sequence[str], parse_line: ParseLine
) -> LogSource:
    """Open a text file; a line for which `parse_line` raises ValueError is a bad row.

    Args:
        opener: opens the decompressed stream at its start.
        label: name of the file in messages.
        columns: names of the columns, in the order of the values of a row.
        parse_line: yields the rows of a line.
    """

    def read(selected: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        row = 0
        for block in read_blocks(opener):
            frame = _parse_block(block, columns, parse_line)
            rows = pl.int_range(row, row + frame.height).alias(ROW)
            yield frame.select(rows, LINE, BAD, *selected)
            row += frame.height

    return LogSource(label, dict.fromkeys(columns, pl.String()), read)


def _parse_block(block: LineBlock, columns: Sequence[str], parse_line: ParseLine) -> pl.DataFrame:
    rows: list[tuple[Any, ...]] = []
    empty = (None,) * len(columns)
    for number, line in enumerate(block.lines()):
        place = block.first_line + number
        if number in block.bad:
            rows.append((place, block.bad[number], *empty))
        elif line.strip():
            try:
                rows += [(place, None, *row) for row in parse_line(line.decode())]
            except ValueError as error:
                rows.append((place, str(error), *empty))
        else:
            rows.append((place, None, *empty))
    schema = {LINE: pl.Int64(), **dict.fromkeys((BAD, *columns), pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row")
