"""Initialization of rows for new items, in models with one row of weights per item.

The row of a new item is the mean of the rows of the items clicked right before or after it,
weighted by the number of such clicks. Rows are filled in rounds, so a new item whose neighbors are
all new gets the mean of their new rows. An item that no path connects to a known item gets the mean
of all known items. A bias is a row with one number. In a model with features, this holds for the
part of a row that does not follow from the features; see `add_item_rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from nextclick.graphs.item_graph import ItemGraph
from nextclick.graphs.temporal_graph import remap_graph_state
from nextclick.models.incremental_state import scatter_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Int64Array
    from nextclick.models.base import Model
    from nextclick.models.incremental_state import PriorSessions


M = TypeVar("M", bound="Model")


class _Round(NamedTuple):
    """Rows of one round: `items` (R,), with edges (n,) grouped from `starts` (R,)."""

    items: Int64Array
    starts: Int64Array
    neighbors: Int64Array
    weights: Int64Array


def add_item_rows(
    model: M,
    past: PriorSessions,
    new: Sessions,
    of_features: Mapping[str, AnyArray] | None = None,
) -> M:
    """The model with renumbered items and rows for the new ones.

    The default of `Model.grow_catalog`. A temporal graph in the state is renumbered as well.

    Args:
        model: a model whose `item_arrays` names the arrays with one row per item.
        past: maps the known items to their new indices.
        new: sessions with the new items, in the new indices.
        of_features: name to (n_items + 1, D), the part of the rows that follows from features of
            the items; a row of zeros for an item without features. The row of a new item with
            features is this part plus the mean of the other part of its neighbors.
    """
    known = np.zeros(past.n_items + 1, dtype=np.bool_)
    known[past.index[1:]] = True
    rounds = _plan_rounds(new, known.copy())
    state = {name: np.array(array) for name, array in model.state().items()}
    state = remap_graph_state(state, past.index)
    for name in model.item_arrays:
        array = scatter_rows(state[name], past.index, past.n_items)
        part = None if of_features is None else of_features.get(name)
        if part is not None:
            own = _fill_rows(array - part * known[:, None], known, rounds, unreached_mean=False)
        array = _fill_rows(array, known, rounds)
        if part is not None:
            is_new = ~known & part.any(axis=1)
            array[is_new] = (own + part)[is_new]
        state[name] = array
    return type(model).from_state(state, model.config)


def _plan_rounds(new: Sessions, filled: BoolArray) -> list[_Round]:
    """The rounds in which rows are filled from filled neighbors; updates `filled`."""
    graph = ItemGraph.from_sessions(new)
    source = np.repeat(np.arange(graph.n_items + 1), np.diff(graph.offsets))
    target, weight = graph.followers.astype(np.int64), graph.weights()
    rows = np.concatenate([source, target])
    neighbors = np.concatenate([target, source])
    weights = np.concatenate([weight, weight])
    order = np.argsort(rows, kind="stable")
    rows, neighbors, weights = rows[order], neighbors[order], weights[order]
    rounds: list[_Round] = []
    while True:
        selected = ~filled[rows] & filled[neighbors]
        if not selected.any():
            return rounds
        items, starts = np.unique(rows[selected], return_index=True)
        rounds.append(_Round(items, starts, neighbors[selected], weights[selected]))
        filled[items] = True


def _fill_rows(
    array: AnyArray, known: BoolArray, rounds: list[_Round], *, unreached_mean: bool = True
) -> AnyArray:
    """Fill the rows of new items in place; unreached rows get the mean of the known rows, or 0."""
    unfilled = ~known
    unfilled[0] = False
    for items, starts, neighbors, weights in rounds:
        shape = (-1, *(1,) * (array.ndim - 1))
        total = np.add.reduceat(weights, starts).reshape(shape)
        sums = np.add.reduceat(array[neighbors] * weights.reshape(shape), starts, axis=0)
        array[items] = sums / total
        unfilled[items] = False
    if unreached_mean and unfilled.any() and known.any():
        array[unfilled] = array[known].mean(axis=0)
    return array
