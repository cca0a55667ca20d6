"""Compiled kernel that places clicks in their sessions; imported for long logs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array


@njit(cache=True, nogil=True)
def session_positions(groups: Int32Array, cursor: Int64Array) -> Int64Array:
    """Return (n,) int64, the position of each click of a chunk; see the caller in `sessionize`."""
    positions = np.empty(len(groups), dtype=np.int64)
    for click in range(len(groups)):
        group = groups[click]
        positions[click] = cursor[group]
        cursor[group] += 1
    return positions
