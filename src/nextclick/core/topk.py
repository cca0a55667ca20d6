"""Top-K selection from dense or sparse scores, shared by evaluation and serving.

An item is recommended if it is among the K highest scores of its row and **another item of the row
has a lower score**. Models give the lowest score to items without evidence, such as 0 in k-NN for
an item that no neighbor contains. Such items are not recommended, so a constant scorer recommends
nothing. The rule depends on the scores alone: equal dense and sparse scores give equal lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from nextclick.errors import ScoringError

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Int32Array, Int64Array, SparseScores


@dataclass(frozen=True, slots=True, eq=False)
class SortedBase:
    """The base scores of `SparseScores`, sorted once for all rows.

    Attributes:
        scores: (N + 1,) float32, a copy of the base.
        ascending: (N,) float32, the scores of items 1..N, ascending.
        best_first: (N,) int32, the items by descending score; ties by ascending index.
    """

    scores: Float32Array
    ascending: Float32Array
    best_first: Int32Array

    @classmethod
    def of(cls, base: Float32Array) -> SortedBase:
        """Sort the base scores.

        Raises:
            ScoringError: a score is not finite.
        """
        bad = np.flatnonzero(~np.isfinite(base[1:]))
        if len(bad):
            item = int(bad[0]) + 1
            raise ScoringError(
                f"item {item}: the base score is {base[item]}; a scorer must give finite scores"
            )
        order = np.argsort(-base[1:], kind="stable")
        return cls(
            scores=base.copy(),
            ascending=base[1:][order[::-1]],
            best_first=(order + 1).astype(np.int32),
        )

    def fits(self, base: Float32Array) -> bool:
        """Whether this was built from equal base scores; compares values, not buffers."""
        return np.array_equal(self.scores, base)


def dense_top(scores: Float32Array, k: int) -> Int32Array:
    """(B, k) int32, the recommended items of each row by descending score, padded with 0.

    Ties are in ascending order of the item index.

    Args:
        scores: (B, N + 1) float32, finite.
        k: at most N.
    """
    lists = np.zeros((len(scores), k), dtype=np.int32)
    _top_dense(scores, lists)
    return lists


def sparse_top(scores: SparseScores, base: SortedBase, k: int) -> Int32Array:
    """(B, k) int32, equal to `dense_top(scores.dense(), k)`.

    Args:
        scores: B rows that passed `check_sparse`.
        base: `scores.base`, sorted.
        k: at most N.
    """
    lists = np.zeros((len(scores.offsets) - 1, k), dtype=np.int32)
    _top_sparse(scores.offsets, scores.items, scores.values, base.scores, base.best_first, lists)
    return lists


@numba.njit(cache=True)
def _insert(best: Float32Array, row: Int32Array, n: int, score: float, item: int) -> int:
    """Insert an item into the n best, sorted, if it ranks high enough; return the new n."""
    k = len(row)
    if n == k and not (score > best[k - 1] or (score == best[k - 1] and item < row[k - 1])):
        return n
    place = min(n, k - 1)
    while place > 0 and (
        best[place - 1] < score or (best[place - 1] == score and row[place - 1] > item)
    ):
        best[place] = best[place - 1]
        row[place] = row[place - 1]
        place -= 1
    best[place] = score
    row[place] = item
    return min(n + 1, k)


@numba.njit(cache=True)
def _drop_lowest(best: Float32Array, row: Int32Array) -> None:
    """Set the items at the end of a list that have the lowest score of their row to 0."""
    lowest = best[len(row) - 1]
    for place in range(len(row)):
        if best[place] == lowest:
            row[place] = 0


@numba.njit(cache=True)
def _top_dense(scores: Float32Array, lists: Int32Array) -> None:
    k = lists.shape[1]
    best = np.empty(k, dtype=np.float32)
    for b in range(len(scores)):
        n = 0
        for i in range(1, scores.shape[1]):
            if n < k or scores[b, i] > best[k - 1]:
                n = _insert(best, lists[b], n, scores[b, i], i)
        is_lowest = True
        for i in range(1, scores.shape[1]):
            if scores[b, i] < best[k - 1]:
                is_lowest = False
                break
        if is_lowest:
            _drop_lowest(best, lists[b])


@numba.njit(cache=True)
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
            n = _insert(best, lists[b], n, values[j], items[j])
        taken = 0
        for item in best_first:
            if taken == k:
                break
            if listed_in[item] != b:
                n = _insert(best, lists[b], n, base[item], item)
                taken += 1
        if _is_lowest(
            best[k - 1], values[offsets[b] : offsets[b + 1]], b, base, best_first, listed_in
        ):
            _drop_lowest(best, lists[b])


@numba.njit(cache=True)
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
