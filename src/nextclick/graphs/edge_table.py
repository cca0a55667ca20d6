"""Hash table of edge weights with daily decay, in fixed-point arithmetic.

A weight is a multiple of 2⁻⁴⁰ below 2²⁴, stored as uint64. Decay multiplies it by factor / 2³² and
rounds down. If the decay is a power of 1/2, rounding down commutes with the addition of integers
and with further decay. A weight then equals

    ⌊2⁴⁰ · Σ over days t' of e_t' · decay^(days since)⌋ · 2⁻⁴⁰

with an exact sum, for any order and length of the history. Comparing it with a threshold that is a
multiple of 2⁻⁴⁰ has the same result as comparing the exact sum. Floating-point numbers may round
up: an edge seen on 54 consecutive days gets the weight 2 and on the next day 1, although the exact
sum is less than 1.

Decay is applied lazily, when an edge is accessed, so the cost of a day depends on its log only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

UInt64Array: TypeAlias = NDArray[np.uint64]

FRACTION_BITS = 40
FACTOR_BITS = 32
MAX_DAILY_COUNT = 1 << 23  # per edge; the sum of two such weights does not overflow
_LARGEST = np.uint64(2**64 - 1)
_LOW = np.uint64(2**32 - 1)
_HALF_WORD = np.uint64(32)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FRACTION = np.uint64(FRACTION_BITS)
_MIN_CAPACITY = 1 << 10


class EdgeTable:
    """A hash table that maps edges (positive int64 keys) to decaying weights.

    Attributes:
        factor: daily decay of the weights, in units of 2⁻³².
    """

    def __init__(self, factor: int):
        self.factor = np.uint64(factor)
        self._n_edges = 0
        self._allocate(_MIN_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        self._keys: Int64Array = np.zeros(capacity, np.int64)
        self._weights: UInt64Array = np.zeros(capacity, np.uint64)
        self._days: Int32Array = np.zeros(capacity, np.int32)  # of the last update

    def add(self, keys: Int64Array, amounts: UInt64Array, day: int) -> None:
        """Decay the weights of (n,) distinct keys to `day` and add (n,) amounts."""
        if 2 * (self._n_edges + len(keys)) > len(self._keys):
            self._rebuild(len(keys), day)
        self._n_edges += _add(
            self._keys, self._weights, self._days, keys, amounts, day, self.factor
        )

    def _rebuild(self, n_new: int, day: int) -> None:
        """Resize to at least 4 times the number of edges; edges of weight 0 are removed."""
        keys, weights = self.edges(day)
        capacity = _MIN_CAPACITY
        while capacity < 4 * (len(keys) + n_new):
            capacity *= 2
        self._allocate(capacity)
        self._n_edges = _add(self._keys, self._weights, self._days, keys, weights, day, self.factor)

    def weights(self, keys: Int64Array, day: int) -> UInt64Array:
        """(n,) weights of (n,) keys on `day`; 0 for unknown edges."""
        weights: UInt64Array = _look_up(
            self._keys, self._weights, self._days, keys, day, self.factor
        )
        return weights

    def edges(self, day: int) -> tuple[Int64Array, UInt64Array]:
        """(n,) ascending keys and (n,) weights on `day` of all edges with a nonzero weight."""
        keys = np.sort(self._keys[self._keys != 0])
        weights = self.weights(keys, day)
        nonzero: BoolArray = weights != 0
        return keys[nonzero], weights[nonzero]


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
def _add(
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
def _look_up(
    table: Int64Array,
    weights: UInt64Array,
    days: Int32Array,
    keys: Int64Array,
    day: int,
    factor: np.uint64,
) -> UInt64Array:
    decayed = np.zeros(len(keys), np.uint64)
    for i in range(len(keys)):
        slot = _slot(table, keys[i])
        if table[slot] != 0:
            decayed[i] = _decay(weights[slot], day - days[slot], factor)
    return decayed


def fixed_point(counts: Int64Array) -> UInt64Array:
    """(n,) fixed-point weights of (n,) counts of one day; counts are capped at 2²³."""
    return np.minimum(counts, MAX_DAILY_COUNT).astype(np.uint64) << _FRACTION
