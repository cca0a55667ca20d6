"""Rows of different lengths in flat arrays: expand ranges, and take the best of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Int64Array


def expand(first: Int64Array, stop: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The numbers of the ranges first..stop - 1, one range after the other.

    Returns:
        (M,) which range, and (M,) the number.

    >>> [array.tolist() for array in expand(np.array([3, 0, 7]), np.array([5, 0, 8]))]
    [[0, 0, 2], [3, 4, 7]]
    """
    lengths = stop - first
    ends = np.cumsum(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return owner, np.arange(len(owner)) + (first - (ends - lengths))[owner]


def ranks_within(row: Int64Array, n_rows: int) -> tuple[Int64Array, Int64Array]:
    """(n_rows,) entries of each row, and (M,) the place of each entry, for ascending `row` (M,)."""
    lengths = np.bincount(row, minlength=n_rows)
    return lengths, np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]


def best_of_rows(
    row: Int64Array, items: AnyArray, scores: AnyArray, n: int, n_rows: int
) -> tuple[Int64Array, Int64Array]:
    """The n entries of highest score in each row, best first; of equal scores the lower item first.

    Args:
        row: (M,) row of each entry.
        items: (M,) its item.
        scores: (M,) its score.
        n: how many of a row are taken at most.
        n_rows: the number of rows.

    Returns:
        (n_rows,) how many each row has, and the chosen entries, row by row.
    """
    order = np.lexsort((items, -scores, row))
    lengths, place = ranks_within(row[order], n_rows)
    return np.minimum(lengths, n), order[place < n]
