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
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

UInt64Array: TypeAlias = NDArray[np.uint64]

FRACTION_BITS = 40
FACTOR_BITS = 32
MAX_DAILY_COUNT = 1 << 23  # per edge; the sum of two such weights does not overflow
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
        from nextclick.graphs.edge_kernels import add

        if 2 * (self._n_edges + len(keys)) > len(self._keys):
            self._rebuild(len(keys), day)
        self._n_edges += add(self._keys, self._weights, self._days, keys, amounts, day, self.factor)

    def _rebuild(self, n_new: int, day: int) -> None:
        """Resize to at least 4 times the number of edges; edges of weight 0 are removed."""
        from nextclick.graphs.edge_kernels import add

        keys, weights = self.edges(day)
        capacity = _MIN_CAPACITY
        while capacity < 4 * (len(keys) + n_new):
            capacity *= 2
        self._allocate(capacity)
        self._n_edges = add(self._keys, self._weights, self._days, keys, weights, day, self.factor)

    def weights(self, keys: Int64Array, day: int) -> UInt64Array:
        """(n,) weights of (n,) keys on `day`; 0 for unknown edges."""
        from nextclick.graphs.edge_kernels import look_up

        weights: UInt64Array = look_up(
            self._keys, self._weights, self._days, keys, day, self.factor
        )
        return weights

    def edges(self, day: int) -> tuple[Int64Array, UInt64Array]:
        """(n,) ascending keys and (n,) weights on `day` of all edges with a nonzero weight."""
        keys = np.sort(self._keys[self._keys != 0])
        weights = self.weights(keys, day)
        nonzero: BoolArray = weights != 0
        return keys[nonzero], weights[nonzero]


def fixed_point(counts: Int64Array) -> UInt64Array:
    """(n,) fixed-point weights of (n,) counts of one day; counts are capped at 2²³."""
    return np.minimum(counts, MAX_DAILY_COUNT).astype(np.uint64) << _FRACTION
