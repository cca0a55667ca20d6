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
    larger[:used] = array[:used]
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
    """Return the n items with the highest scores, best first; ties by ascending index."""
    if len(scores) > n:
        threshold = kth_largest(scores, n)
        candidates = np.flatnonzero(scores >= threshold)
        items, scores = items[candidates], scores[candidates]
    by_index = np.argsort(items, kind="mergesort")
    items, scores = items[by_index], scores[by_index]
    best = np.argsort(-scores, kind="mergesort")[:n]
    return items[best], scores[best]
