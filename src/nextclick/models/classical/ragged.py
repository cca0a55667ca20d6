"""Operations on ragged arrays: expand ranges, rank entries within rows, select the top n."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Int64Array


def expand_ranges(first: Int64Array, stop: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Concatenate the integers of the ranges first..stop - 1.

    Returns:
        (M,) the index of the range of each integer, and (M,) the integers.

    >>> [array.tolist() for array in expand_ranges(np.array([3, 0, 7]), np.array([5, 0, 8]))]
    [[0, 0, 2], [3, 4, 7]]
    """
    lengths = stop - first
    ends = np.cumsum(lengths)
    source = np.repeat(np.arange(len(lengths)), lengths)
    return source, np.arange(len(source)) + (first - (ends - lengths))[source]


def positions_in_rows(row: Int64Array, n_rows: int) -> tuple[Int64Array, Int64Array]:
    """(n_rows,) row lengths, and (M,) the position of each entry in its row; `row` is sorted."""
    lengths = np.bincount(row, minlength=n_rows)
    return lengths, np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]


def top_n_of_rows(
    row: Int64Array, items: AnyArray, scores: AnyArray, n: int, n_rows: int
) -> tuple[Int64Array, Int64Array]:
    """Select the n entries of highest score in each row, best first; ties by lower item.

    Args:
        row: (M,) row of each entry.
        items: (M,) item of each entry.
        scores: (M,) score of each entry.
        n: maximum number of selected entries per row.
        n_rows: the number of rows.

    Returns:
        (n_rows,) number of selected entries per row, and their indices, row by row.
    """
    order = np.lexsort((items, -scores, row))
    lengths, position = positions_in_rows(row[order], n_rows)
    return np.minimum(lengths, n), order[position < n]
