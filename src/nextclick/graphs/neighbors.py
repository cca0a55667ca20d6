"""The neighbors of one day as arrays, and what lies within some steps of a few items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """A items that have neighbors, row by row; every other item has none.

    Attributes:
        items: (A,) int32, ascending.
        offsets: (A + 1,) int64; row a is `neighbors[offsets[a]:offsets[a + 1]]`.
        neighbors: (J,) int32, items, ascending within a row.
        weights: (J,) float32.
    """

    items: Int32Array
    offsets: Int64Array
    neighbors: Int32Array
    weights: Float32Array

    @classmethod
    def of_pairs(cls, i: Int32Array, j: Int32Array, weights: Float64Array) -> Self:
        """Each of the (n,) pairs is an edge both ways; no pair stands twice."""
        rows, columns = np.concatenate([i, j]), np.concatenate([j, i])
        order = np.lexsort((columns, rows))
        items, starts = np.unique(rows[order], return_index=True)
        return cls(
            items=items.astype(np.int32),
            offsets=np.append(starts, len(rows)).astype(np.int64),
            neighbors=columns[order].astype(np.int32),
            weights=np.concatenate([weights, weights])[order].astype(np.float32),
        )

    def of(self, item: int) -> dict[int, float]:
        """The neighbors of an item with their weights."""
        row = int(np.searchsorted(self.items, item))
        if row == len(self.items) or self.items[row] != item:
            return {}
        part = slice(self.offsets[row], self.offsets[row + 1])
        return dict(zip(self.neighbors[part].tolist(), self.weights[part].tolist(), strict=True))

    def within(self, roots: Int64Array, steps: int, n_items: int) -> Reach:
        """Everything that `steps` rounds of messages can bring to the (R,) distinct `roots`."""
        found = _within(
            self.items, self.offsets, self.neighbors, self.weights, roots, steps, n_items
        )
        return Reach(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """n items around some roots, the nearest first, with the rows that messages come through.

    Attributes:
        items: (n,) int64; the roots in their order, then those one step away, and so on.
        bounds: (steps + 1,) int64; `items[:bounds[h]]` are those within h steps.
        offsets: (m + 1,) int64, with m = bounds[steps - 1], the items that get messages; 0 rows
            where there are no steps.
        columns: (J,) int64, neighbors as places in `items`.
        weights: (J,) float32.
    """

    items: Int64Array
    bounds: Int64Array
    offsets: Int64Array
    columns: Int64Array
    weights: Float32Array


@njit(cache=True, nogil=True)
def _row(items: Int32Array, item: int) -> int:
    """The row of an item, -1 if it has none."""
    row = np.searchsorted(items, item)
    if row < len(items) and items[row] == item:
        return int(row)
    return -1


@njit(cache=True, nogil=True)
def _within(
    items: Int32Array,
    offsets: Int64Array,
    neighbors: Int32Array,
    weights: Float32Array,
    roots: Int64Array,
    steps: int,
    n_items: int,
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:
    place = np.full(n_items + 1, -1, np.int64)
    queue = np.empty(len(roots) + len(items), np.int64)
    bounds = np.empty(steps + 1, np.int64)
    n = 0
    for root in roots:
        place[root] = n
        queue[n] = root
        n += 1
    bounds[0] = n
    done, n_edges = 0, 0
    for step in range(steps):
        while done < bounds[step]:
            row = _row(items, queue[done])
            done += 1
            if row < 0:
                continue
            n_edges += offsets[row + 1] - offsets[row]
            for edge in range(offsets[row], offsets[row + 1]):
                other = neighbors[edge]
                if place[other] < 0:
                    place[other] = n
                    queue[n] = other
                    n += 1
        bounds[step + 1] = n
    starts = np.zeros(done + 1, np.int64)
    columns = np.empty(n_edges, np.int64)
    values = np.empty(n_edges, np.float32)
    used = 0
    for i in range(done):
        row = _row(items, queue[i])
        if row >= 0:
            for edge in range(offsets[row], offsets[row + 1]):
                columns[used] = place[neighbors[edge]]
                values[used] = weights[edge]
                used += 1
        starts[i + 1] = used
    return queue[:n].copy(), bounds, starts, columns, values
