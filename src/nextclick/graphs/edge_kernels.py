"""The hash table of `EdgeTable`: compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array
    from nextclick.graphs.edge_table import UInt64Array

_LARGEST = np.uint64(2**64 - 1)
_LOW = np.uint64(2**32 - 1)
_HALF_WORD = np.uint64(32)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _decayed(weight: np.uint64, days: int, factor: np.uint64) -> np.uint64:
    while days > 0 and weight > 0:
        # ⌊weight · factor / 2³²⌋ without the 96 bits of the product
        weight = (weight >> _HALF_WORD) * factor + (((weight & _LOW) * factor) >> _HALF_WORD)
        days -= 1
    return weight


@njit(cache=True, nogil=True)
def _slot(table: Int64Array, key: int) -> np.int64:
    """Where a key stands, or the free slot where it would."""
    mask = len(table) - 1
    slot: np.int64 = np.int64((np.uint64(key) * _MIX) >> _HALF_WORD) & mask
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def add(
    table: Int64Array,
    weights: UInt64Array,
    days: Int32Array,
    keys: Int64Array,
    amounts: UInt64Array,
    day: int,
    factor: np.uint64,
) -> int:
    """Add, and return how many keys are new."""
    new = 0
    for i in range(len(keys)):
        slot = _slot(table, keys[i])
        if table[slot] == 0:
            table[slot] = keys[i]
            new += 1
        weight = _decayed(weights[slot], day - days[slot], factor)
        room = _LARGEST - weight
        weights[slot] = weight + min(amounts[i], room)
        days[slot] = day
    return new


@njit(cache=True, nogil=True)
def look_up(
    table: Int64Array,
    weights: UInt64Array,
    days: Int32Array,
    keys: Int64Array,
    day: int,
    factor: np.uint64,
) -> UInt64Array:
    """(n,) weights of (n,) keys as of `day`; 0 for a key that is not in the table."""
    found = np.zeros(len(keys), np.uint64)
    for i in range(len(keys)):
        slot = _slot(table, keys[i])
        if table[slot] != 0:
            found[i] = _decayed(weights[slot], day - days[slot], factor)
    return found
