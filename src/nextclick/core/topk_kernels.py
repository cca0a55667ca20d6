"""Compiled versions of `dense_top` and `sparse_top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.topk import SortedBase
    from nextclick.core.types import Float32Array, Int32Array, Int64Array, SparseScores


def dense_top(scores: Float32Array, k: int) -> Int32Array:
    """(B, k) int32, equal to `nextclick.core.topk.dense_top`."""
    lists = np.zeros((len(scores), k), dtype=np.int32)
    _top_dense(scores, lists)
    return lists


def sparse_top(scores: SparseScores, base: SortedBase, k: int) -> Int32Array:
    """(B, k) int32, equal to `nextclick.core.topk.sparse_top`."""
    lists = np.zeros((len(scores.offsets) - 1, k), dtype=np.int32)
    _top_sparse(scores.offsets, scores.items, scores.values, base.scores, base.best_first, lists)
    return lists


@njit(cache=True)
def insert(best: Float32Array, row: Int32Array, n: int, score: float, item: int) -> int:
    """Insert an item into the n best, sorted, if it ranks high enough; return the new n."""
    k = len(row)
    if n == k and not (score > best[k - 1] or (score == best[k - 1] and item < row[k - 1])):
        return n
    position = min(n, k - 1)
    while position > 0 and (
        best[position - 1] < score or (best[position - 1] == score and row[position - 1] > item)
    ):
        best[position] = best[position - 1]
        row[position] = row[position - 1]
        position -= 1
    best[position] = score
    row[position] = item
    return min(n + 1, k)


@njit(cache=True)
def _drop_lowest(best: Float32Array, row: Int32Array) -> None:
    """Set the items at the end of a list that have the lowest score of their row to 0."""
    lowest = best[len(row) - 1]
    for position in range(len(row)):
        if best[position] == lowest:
            row[position] = 0


@njit(cache=True)
def _top_dense(scores: Float32Array, lists: Int32Array) -> None:
    k = lists.shape[1]
    best = np.empty(k, dtype=np.float32)
    for b in range(len(scores)):
        n = 0
        for i in range(1, scores.shape[1]):
            if n < k or scores[b, i] > best[k - 1]:
                n = insert(best, lists[b], n, scores[b, i], i)
        is_lowest = True
        for i in range(1, scores.shape[1]):
            if scores[b, i] < best[k - 1]:
                is_lowest = False
                break
        if is_lowest:
            _drop_lowest(best, lists[b])


@njit(cache=True)
def _top_sparse(
    offsets: Int64Array,
    items: Int32Array,
    values: Float32Array,
    base: Float32Array,
    best_first: Int32Array,
    lists: Int32Array,
) -> None:
    k = lists.shape[1]
    best = np.empty(k, dtype=np.float32)
    listed_in = np.full(len(base), -1, dtype=np.int64)  # the last row that listed each item
    for b in range(len(offsets) - 1):
        n = 0
        for j in range(offsets[b], offsets[b + 1]):
            listed_in[items[j]] = b
            n = insert(best, lists[b], n, values[j], items[j])
        n_taken = 0
        for item in best_first:
            if n_taken == k:
                break
            if listed_in[item] != b:
                n = insert(best, lists[b], n, base[item], item)
                n_taken += 1
        if _is_lowest(
            best[k - 1], values[offsets[b] : offsets[b + 1]], b, base, best_first, listed_in
        ):
            _drop_lowest(best, lists[b])


@njit(cache=True)
def _is_lowest(
    score: float,
    values: Float32Array,
    b: int,
    base: Float32Array,
    best_first: Int32Array,
    listed_in: Int64Array,
) -> bool:
    """Whether no item of row b, listed with `values` or unlisted, scores below `score`."""
    for value in values:
        if value < score:
            return False
    for item in best_first[::-1]:
        if listed_in[item] != b:
            return bool(base[item] >= score)
    return True
