"""The neighbors of one day as arrays, and what lies within some steps of a few items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array


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
        from nextclick.graphs.neighbor_kernels import within

        found = within(
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
