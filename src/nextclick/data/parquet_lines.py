"""Prints columns of a Parquet file as JSON lines.

`python -m nextclick.data.parquet_lines FILE NAME …` prints the columns of these names, in which
case and punctuation do not count. A server reads its item file in this way, so that it loads no
dataframe library.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection


def write_lines(path: str, names: Collection[str], target: BinaryIO) -> None:
    """Write the named columns of a file; a column of names that the file lacks is left out.

    Raises:
        polars.exceptions.PolarsError: the file is damaged.
        OSError: the file cannot be read.
    """
    columns = pl.scan_parquet(path).collect_schema().names()
    selected = [
        name
        for name in columns
        if "".join(letter for letter in name.lower() if letter.isalnum()) in names
    ]
    pl.read_parquet(path, columns=selected or columns[:1]).write_ndjson(target)


if __name__ == "__main__":
    write_lines(sys.argv[1], sys.argv[2:], sys.stdout.buffer)
