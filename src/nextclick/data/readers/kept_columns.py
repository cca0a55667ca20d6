"""Columns whose value of each session is stored, for metrics by segment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.data.readers.sources import LogSource
    from nextclick.data.session_table import SessionTable

RESERVED = (
    "target",
    "prefix-length",
    "popularity",
    "user",
    "earlier-sessions",
)  # other segments have these names
_PREFIX = "kept "


def frame_name(name: str) -> str:
    """The name of a kept column in the frames of `read_chunks`, where roles have names, too."""
    return _PREFIX + name


def check_kept_names(names: Sequence[str]) -> None:
    """Check the names before anything is read.

    Raises:
        ConfigError: a name occurs twice, or is that of another segment.
    """
    for name in names:
        if name in RESERVED:
            raise ConfigError(
                f"--keep-column {name}: metrics by {name} mean something else; rename the column"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"--keep-column must name each column once, got {', '.join(names)}")


def check_kept_columns(source: LogSource, names: Sequence[str]) -> None:
    """Check that a source has the columns, with one value per row.

    Raises:
        SourceError: a column is missing or has a nested type.
    """
    for name in names:
        if name not in source.columns:
            raise SourceError(
                f"{source.label}: no column {name!r} of --keep-column among "
                f"{', '.join(source.columns)}"
            )
        if source.types[name].is_nested():
            raise SourceError(
                f"{source.label}, column {name!r} of --keep-column: expected one value per row, "
                f"got {source.types[name]}; convert the column"
            )


def with_session_values(table: SessionTable) -> SessionTable:
    """The table with the first value of each session in place of the values of its clicks."""
    values = tuple(first_values(codes, table.offsets) for codes in table.click_columns)
    return replace(table, columns=values, click_columns=())


def first_values(codes: Int32Array, offsets: Int64Array) -> Int32Array:
    """(S,) int32, the first code of each session that is not -1; -1 if there is none.

    >>> first_values(np.array([-1, 4, 2, -1], np.int32), np.array([0, 3, 4])).tolist()
    [4, -1]
    """
    present = np.flatnonzero(codes >= 0)
    sessions, first = np.unique(
        np.searchsorted(offsets, present, side="right") - 1, return_index=True
    )
    values = np.full(len(offsets) - 1, -1, dtype=np.int32)
    values[sessions] = codes[present[first]]
    return values
