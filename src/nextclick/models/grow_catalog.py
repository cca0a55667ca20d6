"""A larger catalog for a model with a row of weights for each item.

A new item begins where its neighbors are: at the mean of the rows of the items clicked right
before or after it, weighted by how often. Rows are filled round by round, so that a new item whose
neighbors are new as well begins at their means; one that is joined to no known item by any path
begins at the mean of all known ones. A bias is a row of one number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from nextclick.graphs.item_graph import ItemGraph
from nextclick.graphs.temporal_graph import renumbered_graph
from nextclick.models.incremental_state import scatter_rows

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Int64Array
    from nextclick.models.base import Model
    from nextclick.models.incremental_state import PriorSessions


M = TypeVar("M", bound="Model")


class _Round(NamedTuple):
    """Rows that are filled at once: `items` (R,), out of edges (n,) that begin at `starts` (R,)."""

    items: Int64Array
    starts: Int64Array
    neighbors: Int64Array
    weights: Int64Array


def with_new_rows(model: M, past: PriorSessions, new: Sessions) -> M:
    """The model in the indices of `past`, with a row for each item that it did not know.

    The default of `Model.grow_catalog`. A temporal graph among its arrays is renumbered, too.

    Args:
        model: names the arrays of its state with such rows in `item_arrays`.
        past: maps its items to their new indices.
        new: the sessions with the new items, in the indices of `past`.
    """
    known = np.zeros(past.n_items + 1, dtype=np.bool_)
    known[past.index[1:]] = True
    rounds = _rounds(new, known.copy())
    state = {name: np.array(array) for name, array in model.state().items()}
    state = renumbered_graph(state, past.index)
    for name in model.item_arrays:
        state[name] = _filled(scatter_rows(state[name], past.index, past.n_items), known, rounds)
    return type(model).from_state(state, model.config)


def _rounds(new: Sessions, filled: BoolArray) -> list[_Round]:
    """Which rows can be filled from which others, in turn; marks them in `filled`."""
    graph = ItemGraph.of(new)
    begin = np.repeat(np.arange(graph.n_items + 1), np.diff(graph.offsets))
    end, weight = graph.followers.astype(np.int64), graph.weights()
    rows = np.concatenate([begin, end])
    others = np.concatenate([end, begin])
    weights = np.concatenate([weight, weight])
    order = np.argsort(rows, kind="stable")
    rows, others, weights = rows[order], others[order], weights[order]
    found: list[_Round] = []
    while True:
        now = ~filled[rows] & filled[others]
        if not now.any():
            return found
        items, starts = np.unique(rows[now], return_index=True)
        found.append(_Round(items, starts, others[now], weights[now]))
        filled[items] = True


def _filled(array: AnyArray, known: BoolArray, rounds: list[_Round]) -> AnyArray:
    """The same with the rows of new items; what is not reached gets the mean of the known."""
    left = ~known
    left[0] = False
    for items, starts, neighbors, weights in rounds:
        shape = (-1, *(1,) * (array.ndim - 1))
        total = np.add.reduceat(weights, starts).reshape(shape)
        sums = np.add.reduceat(array[neighbors] * weights.reshape(shape), starts, axis=0)
        array[items] = sums / total
        left[items] = False
    if left.any() and known.any():
        array[left] = array[known].mean(axis=0)
    return array
