"""Compiled kernel that counts the remaining clicks of sessions; imported for long logs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int64Array


@njit(cache=True, nogil=True)
def count_remaining(keep: BoolArray, offsets: Int64Array) -> Int64Array:
    """Return (S,) int64, the number of True values of `keep` in each session."""
    lengths = np.empty(len(offsets) - 1, dtype=np.int64)
    for session in range(len(lengths)):
        count = 0
        for click in range(offsets[session], offsets[session + 1]):
            count += keep[click]
        lengths[session] = count
    return lengths
