"""Item neighbors of one day in CSR form, and the k-hop neighborhood of a set of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The neighbors of A items in CSR form; all other items have none.

    Attributes:
        items: (A,) int32, ascending.
        offsets: (A + 1,) int64; row a is `neighbors[offsets[a]:offsets[a + 1]]`.
        neighbors: (J,) int32, items, ascending within a row.
        weights: (J,) float32, weight of each neighbor.
    """

    items: Int32Array
    offsets: Int64Array
    neighbors: Int32Array
    weights: Float32Array

    @classmethod
    def of_pairs(cls, i: Int32Array, j: Int32Array, weights: Float64Array) -> Self:
        """Build a symmetric graph from (n,) distinct undirected pairs."""
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
        """The neighbors of an item and their weights."""
        row = int(np.searchsorted(self.items, item))
        if row == len(self.items) or self.items[row] != item:
            return {}
        edges = slice(self.offsets[row], self.offsets[row + 1])
        return dict(zip(self.neighbors[edges].tolist(), self.weights[edges].tolist(), strict=True))

    def within(self, roots: Int64Array, steps: int, n_items: int) -> Neighborhood:
        """The items and edges within `steps` hops of the (R,) distinct `roots`."""
        arrays = _within(
            self.items, self.offsets, self.neighbors, self.weights, roots, steps, n_items
        )
        return Neighborhood(*arrays)


@dataclass(frozen=True, slots=True, eq=False)
class Neighborhood:
    """The subgraph of n items that affects R roots in `steps` rounds of message passing.

    Attributes:
        items: (n,) int64, by distance; the roots in their order, then the items at distance 1, ….
        bounds: (steps + 1,) int64; `items[:bounds[h]]` are the items within h hops.
        offsets: (m + 1,) int64, CSR row offsets of the first m = bounds[steps - 1] items, which
            receive messages; m is 0 without steps.
        columns: (J,) int64, neighbors as positions in `items`.
        weights: (J,) float32, weight of each neighbor.
    """

    items: Int64Array
    bounds: Int64Array
    offsets: Int64Array
    columns: Int64Array
    weights: Float32Array


@njit(cache=True, nogil=True)
def _row(items: Int32Array, item: int) -> int:
    """The row of an item, or -1 if it has none."""
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
    """Breadth-first search from the roots; returns the fields of `Neighborhood`."""
    position = np.full(n_items + 1, -1, np.int64)
    queue = np.empty(len(roots) + len(items), np.int64)
    bounds = np.empty(steps + 1, np.int64)
    n = 0
    for root in roots:
        position[root] = n
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
                neighbor = neighbors[edge]
                if position[neighbor] < 0:
                    position[neighbor] = n
                    queue[n] = neighbor
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
                columns[used] = position[neighbors[edge]]
                values[used] = weights[edge]
                used += 1
        starts[i + 1] = used
    return queue[:n].copy(), bounds, starts, columns, values
