"""Compiled breadth-first search over item neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array


@njit(cache=True, nogil=True)
def _row(items: Int32Array, item: int) -> int:
    """The row of an item, or -1 if it has none."""
    row = np.searchsorted(items, item)
    if row < len(items) and items[row] == item:
        return int(row)
    return -1


@njit(cache=True, nogil=True)
def within(
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
