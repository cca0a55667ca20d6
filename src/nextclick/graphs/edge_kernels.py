"""Compiled kernels of the hash table `EdgeTable`."""

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
def _decay(weight: np.uint64, days: int, factor: np.uint64) -> np.uint64:
    while days > 0 and weight > 0:
        # ⌊weight · factor / 2³²⌋ without computing the 96-bit product
        weight = (weight >> _HALF_WORD) * factor + (((weight & _LOW) * factor) >> _HALF_WORD)
        days -= 1
    return weight


@njit(cache=True, nogil=True)
def _slot(table: Int64Array, key: int) -> np.int64:
    """The slot of a key, or the free slot for it; linear probing."""
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
    """Add the amounts, capped at the largest uint64; return the number of new keys."""
    n_new = 0
    for i in range(len(keys)):
        slot = _slot(table, keys[i])
        if table[slot] == 0:
            table[slot] = keys[i]
            n_new += 1
        weight = _decay(weights[slot], day - days[slot], factor)
        room = _LARGEST - weight
        weights[slot] = weight + min(amounts[i], room)
        days[slot] = day
    return n_new


@njit(cache=True, nogil=True)
def look_up(
    table: Int64Array,
    weights: UInt64Array,
    days: Int32Array,
    keys: Int64Array,
    day: int,
    factor: np.uint64,
) -> UInt64Array:
    """(n,) weights of (n,) keys on `day`; 0 for unknown keys."""
    decayed = np.zeros(len(keys), np.uint64)
    for i in range(len(keys)):
        slot = _slot(table, keys[i])
        if table[slot] != 0:
            decayed[i] = _decay(weights[slot], day - days[slot], factor)
    return decayed
