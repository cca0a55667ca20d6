"""Weights of edges that decay from day to day, in whole numbers.

A weight is a multiple of 2⁻⁴⁰ below 2²⁴, kept as a uint64. Decay multiplies it by factor / 2³² and
rounds down. Where the decay is a power of 1/2, rounding down commutes with adding whole numbers and
with further decay, so that a weight is

    ⌊2⁴⁰ · Σ over days t' of e_t' · decay^(days since)⌋ · 2⁻⁴⁰

with the sum taken exactly, whatever order and however long the history. Comparing it with a
threshold that is a multiple of 2⁻⁴⁰ gives what comparing the exact sum gives. Floating-point
numbers round up as well: an edge seen on 54 days in a row has a weight of 2 there, and of 1 on the
day after, although the exact sum is less than 1.

A weight is brought up to date when its edge is touched, so that a day costs what is in its log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

UInt64Array: TypeAlias = NDArray[np.uint64]

FRACTION_BITS = 40
FACTOR_BITS = 32
MOST_COUNTED = 1 << 23  # of one edge in one day; the sum of two such weights fits
_FRACTION = np.uint64(FRACTION_BITS)
_SMALLEST = 1 << 10


class EdgeTable:
    """A hash table from edges (positive int64 keys) to weights, each as of the day it was touched.

    Attributes:
        factor: what a day multiplies weights by, in units of 2⁻³².
    """

    def __init__(self, factor: int):
        self.factor = np.uint64(factor)
        self._used = 0
        self._allocate(_SMALLEST)

    def _allocate(self, capacity: int) -> None:
        self._keys: Int64Array = np.zeros(capacity, np.int64)
        self._weights: UInt64Array = np.zeros(capacity, np.uint64)
        self._days: Int32Array = np.zeros(capacity, np.int32)

    def add(self, keys: Int64Array, amounts: UInt64Array, day: int) -> None:
        """Add (n,) amounts to the weights of (n,) distinct keys, as of a day."""
        from nextclick.graphs.edge_kernels import add

        if 2 * (self._used + len(keys)) > len(self._keys):
            self._make_room(len(keys), day)
        self._used += add(self._keys, self._weights, self._days, keys, amounts, day, self.factor)

    def _make_room(self, more: int, day: int) -> None:
        """Twice the place that is needed; edges whose weight has come to 0 are forgotten."""
        from nextclick.graphs.edge_kernels import add

        keys, weights = self.edges(day)
        capacity = _SMALLEST
        while capacity < 4 * (len(keys) + more):
            capacity *= 2
        self._allocate(capacity)
        self._used = add(self._keys, self._weights, self._days, keys, weights, day, self.factor)

    def weights(self, keys: Int64Array, day: int) -> UInt64Array:
        """(n,) weights of (n,) keys as of a day; 0 for an edge that is not there."""
        from nextclick.graphs.edge_kernels import look_up

        found: UInt64Array = look_up(self._keys, self._weights, self._days, keys, day, self.factor)
        return found

    def edges(self, day: int) -> tuple[Int64Array, UInt64Array]:
        """(n,) keys, ascending, and weights as of a day, of all edges whose weight is not 0."""
        keys = np.sort(self._keys[self._keys != 0])
        weights = self.weights(keys, day)
        there: BoolArray = weights != 0
        return keys[there], weights[there]


def amounts_of(counts: Int64Array) -> UInt64Array:
    """(n,) weights of (n,) counts of one day; a count above 2²³ is taken for that."""
    return np.minimum(counts, MOST_COUNTED).astype(np.uint64) << _FRACTION
