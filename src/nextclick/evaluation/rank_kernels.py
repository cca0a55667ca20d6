"""Compiled version of `find_invalid_entry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array


@njit(cache=True)
def find_invalid_entry(offsets: Int64Array, items: Int32Array, n_items: int) -> tuple[int, int]:
    """See `nextclick.evaluation.ranks.find_invalid_entry`."""
    last_row = np.full(n_items + 1, -1, dtype=np.int32)  # last row that lists each item
    for b in range(len(offsets) - 1):
        for j in range(offsets[b], offsets[b + 1]):
            if items[j] < 1 or items[j] > n_items or last_row[items[j]] == b:
                return b, items[j]
            last_row[items[j]] = b
    return -1, 0
