"""Compiled forms of `click_passes`: one pass without temporary arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array


@njit(cache=True, nogil=True)
def remaining_lengths(keep: BoolArray, offsets: Int64Array) -> Int64Array:
    """See `click_passes.remaining_lengths`."""
    lengths = np.empty(len(offsets) - 1, np.int64)
    for s in range(len(lengths)):
        n = 0
        for e in range(offsets[s], offsets[s + 1]):
            n += keep[e]
        lengths[s] = n
    return lengths


@njit(cache=True, nogil=True)
def count_items(
    items: Int32Array,
    keep: BoolArray,
    offsets: Int64Array,
    sessions: BoolArray | None,
    n_items: int,
) -> Int64Array:
    """See `click_passes.count_items`."""
    support = np.zeros(n_items, np.int64)
    for s in range(len(offsets) - 1):
        if sessions is None or sessions[s]:
            for e in range(offsets[s], offsets[s + 1]):
                support[items[e]] += keep[e]
    return support


@njit(cache=True, nogil=True)
def drop_sessions(keep: BoolArray, offsets: Int64Array, dropped: BoolArray) -> None:
    """See `click_passes.drop_sessions`."""
    for s in range(len(dropped)):
        if dropped[s]:
            keep[offsets[s] : offsets[s + 1]] = False


@njit(cache=True, nogil=True)
def drop_items(
    keep: BoolArray,
    items: Int32Array,
    offsets: Int64Array,
    dropped: BoolArray,
    sessions: BoolArray | None,
) -> None:
    """See `click_passes.drop_items`."""
    for s in range(len(offsets) - 1):
        if sessions is None or sessions[s]:
            for e in range(offsets[s], offsets[s + 1]):
                keep[e] &= not dropped[items[e]]
