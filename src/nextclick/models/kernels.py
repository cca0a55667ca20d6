"""Small compiled helpers that several kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.types import AnyArray, Float64Array, Int32Array


@njit(cache=True, nogil=True)
def grow(array: AnyArray, used: int, more: int) -> AnyArray:
    """Return an array with `array[:used]` in front and room for at least `more` behind it."""
    if used + more <= len(array):
        return array
    larger = np.empty(used + max(used, more), array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(cache=True, nogil=True)
def keep_best(items: Int32Array, scores: Float64Array, n: int) -> tuple[Int32Array, Float64Array]:
    """Return the n items of highest score, best first; of equal scores the lower index first."""
    if len(scores) > n:
        least = np.partition(scores, len(scores) - n)[len(scores) - n]
        enough = np.flatnonzero(scores >= least)
        items, scores = items[enough], scores[enough]
    by_index = np.argsort(items)
    items, scores = items[by_index], scores[by_index]
    best = np.argsort(-scores, kind="mergesort")[:n]
    return items[best], scores[best]
