"""Compiled kernels of the hash table of integer ids; imported for long logs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, inline="always")
def _slot(key: int, mask: int) -> np.int64:
    mixed = np.uint64(key) * _MULTIPLIER
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@njit(cache=True, nogil=True)
def assign_codes(
    raw: Int64Array,
    missing: BoolArray,
    slots: Int32Array,
    keys: Int64Array,
    count: int,
    codes: Int32Array,
) -> int:
    """Fill `codes` with the code of each id and return the number of distinct ids.

    Args:
        raw: (n,) ids.
        missing: (n,) True if the id is missing, or (0,) if none is missing.
        slots: hash table of codes, -1 for a free slot; its length is a power of two.
        keys: id of each code; new ids are appended.
        count: number of distinct ids before the call.
        codes: (n,) output, -1 for a missing id.
    """
    mask = len(slots) - 1
    last_code = np.int32(-1)
    for i in range(len(raw)):
        if len(missing) > 0 and missing[i]:
            codes[i] = -1
            continue
        key = raw[i]
        # logs are often sorted by session or user, so consecutive ids are often equal
        if last_code >= 0 and keys[last_code] == key:
            codes[i] = last_code
            continue
        slot = _slot(key, mask)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot] = count
            keys[count] = key
            count += 1
        last_code = slots[slot]
        codes[i] = last_code
    return count


@njit(cache=True)
def rehash(keys: Int64Array, slots: Int32Array) -> None:
    """Insert the codes of all `keys` into an empty table."""
    mask = len(slots) - 1
    for code in range(len(keys)):
        slot = _slot(keys[code], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = code
