"""Reads sessions that are stored as one row with lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from nextclick.data.readers.columns import Columns
    from nextclick.data.readers.sources import LogSource


def row_per_click(source: LogSource, columns: Columns) -> LogSource:
    """Return a source with one row per element, if the items of a row are a list.

    The other columns of the log are lists of the same length, or have one value for all elements.
    """
    by_role = columns.by_role()
    lists = [n for n in by_role.values() if isinstance(source.types[n], pl.List | pl.Array)]
    return source.explode(lists) if by_role["item"] in lists else source
