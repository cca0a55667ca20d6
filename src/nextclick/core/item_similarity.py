"""Similarities among a few items, from vectors, rows of a sparse table or categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nextclick.core.item_columns import CategoryColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import Float32Array, Int32Array, Int64Array

    ItemSimilarity: TypeAlias = Callable[[Int32Array], Float32Array]
    """(n,) items to their (n, n) float32 similarities in -1..1."""


_SMALL_PRODUCT = 1 << 18  # multiplications for which OpenBLAS wakes no other thread
_PAIRS_PER_BLOCK = 1 << 20  # which bounds the memory


def vector_similarity(vectors: Float32Array) -> ItemSimilarity:
    """Cosines of item vectors; 0 for a vector of zeros.

    Args:
        vectors: (N + 1, D).

    >>> similarity = vector_similarity(np.float32([[0, 0], [2, 0], [3, 4], [0, 0]]))
    >>> (100 * similarity(np.int32([1, 2, 3]))).round().astype(int).tolist()
    [[100, 60, 0], [60, 100, 0], [0, 0, 0]]
    """

    def similarity(items: Int32Array) -> Float32Array:
        rows = np.asarray(vectors[items], dtype=np.float32)  # (n, D)
        norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
        norms[norms == 0] = 1
        unit = rows / norms
        n, width = unit.shape
        step = max(_SMALL_PRODUCT // max(n * width, 1), 1)
        cosines = np.empty((n, n), dtype=np.float32)
        for start in range(0, n, step):
            np.matmul(unit[start : start + step], unit.T, out=cosines[start : start + step])
        return cosines

    return similarity


def row_similarity(
    offsets: Int64Array, columns: Int32Array, values: Float32Array | None = None
) -> ItemSimilarity:
    """Cosines of the rows of a sparse table; 0 for an empty row.

    Args:
        offsets: (N + 2,) int64; item i has the entries `offsets[i]..offsets[i + 1] - 1`.
        columns: (J,) int32, distinct within a row.
        values: (J,) float32; None is 1 each, so that rows are sets: |A ∩ B| / √(|A| |B|).

    >>> similarity = row_similarity(np.array([0, 0, 2, 4]), np.int32([7, 8, 8, 9]))
    >>> similarity(np.int32([1, 2])).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """

    def similarity(items: Int32Array) -> Float32Array:
        n, starts, lengths = len(items), offsets[items], offsets[items + 1] - offsets[items]
        entries = _ranges(starts, lengths)  # (J,)
        row, column = np.repeat(np.arange(n), lengths), columns[entries]
        order = np.argsort(column, kind="stable")
        row, column, number = row[order], column[order], np.ones(len(entries))
        if values is not None:
            number = values[entries[order]].astype(np.float64)
        products = np.zeros(n * n)
        for first, second in _pairs_with_equal_columns(column):
            weights = number[first] * number[second]
            products += np.bincount(row[first] * n + row[second], weights, minlength=n * n)
        norms = np.sqrt(products[:: n + 1])  # of the diagonal
        norms[norms == 0] = 1
        cosines = products.reshape(n, n) / np.outer(norms, norms)
        rounded: Float32Array = cosines.astype(np.float32)
        return rounded

    return similarity


def category_similarity(table: ItemTable | None) -> ItemSimilarity | None:
    """The share of the categorical columns in which two items have the same label.

    Returns:
        The similarity, or None for a table without categorical columns. A missing label equals
        no other.
    """
    columns = [] if table is None else [c for c in table.columns if isinstance(c, CategoryColumn)]
    if not columns:
        return None

    def similarity(items: Int32Array) -> Float32Array:
        codes = np.stack([column.values.codes[items] for column in columns])  # (C, n)
        equal = (codes[:, :, None] == codes[:, None, :]) & (codes > 0)[:, :, None]
        shares: Float32Array = equal.mean(axis=0, dtype=np.float32)  # (n, n)
        return shares

    return similarity


def _pairs_with_equal_columns(column: Int32Array) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Blocks of ordered pairs of entries with the same column, which is ascending."""
    if not len(column):
        return
    first = np.flatnonzero(np.append(True, column[1:] != column[:-1]))
    size = np.diff(np.append(first, len(column)))  # entries of each column
    block = np.cumsum(size * size) // _PAIRS_PER_BLOCK
    for number in range(int(block[-1]) + 1):
        starts, sizes = first[block == number], size[block == number]
        left = np.repeat(_ranges(starts, sizes), np.repeat(sizes, sizes))
        yield left, _ranges(np.repeat(starts, sizes), np.repeat(sizes, sizes))


def _ranges(starts: Int64Array, lengths: Int64Array) -> Int64Array:
    """Concatenate the integers from each start.

    >>> _ranges(np.array([3, 9]), np.array([2, 1])).tolist()
    [3, 4, 9]
    """
    ends = np.cumsum(lengths)
    numbers: Int64Array = np.repeat(starts - (ends - lengths), lengths)
    return numbers + np.arange(len(numbers))
