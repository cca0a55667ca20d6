"""Small compiled helpers that several kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array, Int32Array


@njit(cache=True, nogil=True)
def grow(array: AnyArray, used: int, more: int) -> AnyArray:
    """Return an array with `array[:used]` in front and room for at least `more` behind it."""
    if used + more <= len(array):
        return array
    larger = np.empty(used + max(used, more), array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(cache=True, nogil=True)
def kth_largest(values: AnyArray, k: int) -> float:
    """Return the value at place k in 1..len(values) of the descending order, by Hoare's selection.

    `np.partition` does the same, but numba takes twelve seconds to compile it.
    """
    values = values.copy()
    low, high, place = 0, len(values) - 1, k - 1
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
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:  # between the two everything equals the pivot
            break
    found: float = values[place]
    return found


@njit(cache=True, nogil=True)
def keep_best(items: Int32Array, scores: Float64Array, n: int) -> tuple[Int32Array, Float64Array]:
    """Return the n items of highest score, best first; of equal scores the lower index first."""
    if len(scores) > n:
        least = kth_largest(scores, n)
        enough = np.flatnonzero(scores >= least)
        items, scores = items[enough], scores[enough]
    by_index = np.argsort(items, kind="mergesort")
    items, scores = items[by_index], scores[by_index]
    best = np.argsort(-scores, kind="mergesort")[:n]
    return items[best], scores[best]
