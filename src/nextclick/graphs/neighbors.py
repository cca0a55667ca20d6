"""Item neighbors of one day in CSR form, and the k-hop neighborhood of a set of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array


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
    def from_pairs(cls, i: Int32Array, j: Int32Array, weights: Float64Array) -> Self:
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

    def item_neighbors(self, item: int) -> dict[int, float]:
        """The neighbors of an item and their weights."""
        row = int(np.searchsorted(self.items, item))
        if row == len(self.items) or self.items[row] != item:
            return {}
        edges = slice(self.offsets[row], self.offsets[row + 1])
        return dict(zip(self.neighbors[edges].tolist(), self.weights[edges].tolist(), strict=True))

    def neighborhood(self, roots: Int64Array, steps: int, n_items: int) -> Neighborhood:
        """The items and edges within `steps` hops of the (R,) distinct `roots`."""
        from nextclick.graphs.neighbor_kernels import within

        arrays = within(
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
