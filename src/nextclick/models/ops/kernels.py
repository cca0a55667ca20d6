"""Compiled functions that several kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array, Int32Array


@njit(cache=True, nogil=True)
def grow(array: AnyArray, used: int, more: int) -> AnyArray:
    """Return an array that begins with `array[:used]` and has room for `more` further entries."""
    if used + more <= len(array):
        return array
    larger = np.empty(used + max(used, more), array.dtype)
    for k in range(used):  # compiled in a fraction of the time of a slice
        larger[k] = array[k]
    return larger


@njit(cache=True, nogil=True)
def kth_largest(values: AnyArray, k: int) -> float:
    """Return the k-th largest value, k in 1..len(values), by Hoare's selection.

    `np.partition` does the same, but numba takes twelve seconds to compile it.
    """
    values = values.copy()
    low, high, rank = 0, len(values) - 1, k - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:  # all values between j and i equal the pivot
            break
    value: float = values[rank]
    return value


@njit(cache=True, nogil=True)
def keep_best(items: Int32Array, scores: Float64Array, n: int) -> tuple[Int32Array, Float64Array]:
    """Return the n items with the highest scores, best first; ties by ascending index.

    A heap of the best items so far has the worst of them at its root. Numba compiles it in a tenth
    of the time of two calls of `np.argsort`.
    """
    n_kept = min(n, len(items))
    best, best_scores = np.empty(n_kept, np.int32), np.empty(n_kept, np.float64)
    for k in range(n_kept):
        best[k], best_scores[k] = items[k], scores[k]
    for root in range(n_kept // 2 - 1, -1, -1):
        _sift_down(best, best_scores, root, n_kept)
    for k in range(n_kept, len(items)):
        if n_kept and _is_worse(best_scores[0], best[0], scores[k], items[k]):
            best[0], best_scores[0] = items[k], scores[k]
            _sift_down(best, best_scores, 0, n_kept)
    for last in range(n_kept - 1, 0, -1):  # the worst of those that remain goes to the end
        best[0], best[last] = best[last], best[0]
        best_scores[0], best_scores[last] = best_scores[last], best_scores[0]
        _sift_down(best, best_scores, 0, last)
    return best, best_scores


@njit(cache=True, nogil=True)
def _sift_down(items: Int32Array, scores: Float64Array, root: int, size: int) -> None:
    """Exchange the root of a heap with its worse child until no child is worse."""
    while True:
        worst = root
        for child in range(2 * root + 1, min(2 * root + 3, size)):
            if _is_worse(scores[child], items[child], scores[worst], items[worst]):
                worst = child
        if worst == root:
            return
        items[root], items[worst] = items[worst], items[root]
        scores[root], scores[worst] = scores[worst], scores[root]
        root = worst


@njit(cache=True, nogil=True)
def _is_worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return bool(score < other_score or (score == other_score and item > other_item))
