"""The hash table of numeric ids: compiled kernels, imported for long logs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, inline="always")
def _slot(key: int, mask: int) -> np.int64:
    mixed = np.uint64(key) * _MIX
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
        missing: (n,) True where the id is missing, or (0,) if none is.
        slots: the hash table, a power of two long: a code, or -1 for a free slot.
        keys: the id of each code; new ids are appended.
        count: distinct ids so far.
        codes: (n,) the result, -1 for a missing id.
    """
    mask = len(slots) - 1
    last = np.int32(-1)
    for i in range(len(raw)):
        if len(missing) > 0 and missing[i]:
            codes[i] = -1
            continue
        key = raw[i]
        # logs are often sorted by session or user: the same id again costs nothing
        if last >= 0 and keys[last] == key:
            codes[i] = last
            continue
        slot = _slot(key, mask)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot] = count
            keys[count] = key
            count += 1
        last = slots[slot]
        codes[i] = last
    return count


@njit(cache=True)
def rehash(keys: Int64Array, slots: Int32Array) -> None:
    """Enter the codes of all `keys` into an empty table."""
    mask = len(slots) - 1
    for code in range(len(keys)):
        slot = _slot(keys[code], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = code
