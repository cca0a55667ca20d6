"""Temporal item graph of TASRec: adjacent clicks, with weights that decay every day.

For the sessions of day t (numbers are the equations of TASRec):

    E_t = Σ over t' < t of e_t' · decay^(t - 1 - t')                       (1)
    E_{t+1} = e_t + decay · E_t

where e_t'(i, j) is 1 if i and j are adjacent clicks in a session of day t' ("binary"), or the
number of adjacent clicks ("count"). The graph is symmetric and has no self-loops. The neighbors on
day t are the pairs with E_t ≥ threshold. With binary edges, decay 1/2 and threshold 1 they are
exactly the pairs of day t - 1, because the weights of all earlier days sum to less than 1.

Weights are exact fixed-point numbers; see `edge_table`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, get_args

import numpy as np

from nextclick.core.array_checks import (
    ArrayError,
    check_array,
    check_length,
    check_range,
    named_array,
)
from nextclick.errors import ConfigError
from nextclick.graphs.adjacent_clicks import adjacent_clicks
from nextclick.graphs.edge_table import FACTOR_BITS, FRACTION_BITS, EdgeTable, fixed_point
from nextclick.graphs.neighbors import Neighbors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.graphs.edge_table import UInt64Array

EdgeKind: TypeAlias = Literal["binary", "count"]
_MIN_THRESHOLD = 2.0**-FRACTION_BITS
_MAX_THRESHOLD = 2.0**20


class TemporalGraph:
    """Item edges with decaying weights; `advance` adds one day.

    Attributes:
        n_days: the number of days added; the weights apply to the sessions of the following day.
    """

    def __init__(self, *, edge: EdgeKind = "binary", decay: float = 0.5, threshold: float = 1.0):
        """Create an empty graph.

        Args:
            edge: "binary" counts a pair once a day, "count" counts all its occurrences.
            decay: daily factor of all weights, 2⁻³² ≤ decay < 1, rounded to 32 fractional bits.
            threshold: minimum weight of a neighbor, rounded up to 40 fractional bits.

        Raises:
            ConfigError: an argument is out of range.
        """
        if edge not in get_args(EdgeKind):
            raise ConfigError(f"edge must be binary or count, got {edge!r}")
        if not 2.0**-FACTOR_BITS <= decay < 1.0:
            raise ConfigError(f"decay must be at least 2**-32 and below 1, got {decay}")
        if not _MIN_THRESHOLD <= threshold <= _MAX_THRESHOLD:
            raise ConfigError(f"threshold must be in 2**-40..2**20, got {threshold}")
        self.edge = edge
        self.decay = decay
        self.threshold = threshold
        self.n_days = 0
        factor = min(round(Fraction(decay) * 2**FACTOR_BITS), 2**FACTOR_BITS - 1)
        self._table = EdgeTable(factor)
        self._min_weight = np.uint64(math.ceil(Fraction(threshold) * 2**FRACTION_BITS))
        self._neighbor_keys: Int64Array = np.empty(0, np.int64)  # ascending

    def advance(self, day_log: Sessions) -> None:
        """Decay all weights by one day and add the sessions of the day, which may be empty.

        The cost depends on the number of clicks of the day and of neighbor pairs before it, not on
        the length of the history.
        """
        i, j = adjacent_clicks(day_log)
        pairs = (np.minimum(i, j) << 32) | np.maximum(i, j)
        keys, counts = np.unique(pairs, return_counts=True)
        if self.edge == "binary":
            counts = np.ones_like(counts)
        self.n_days += 1
        self._table.add(keys, fixed_point(counts.astype(np.int64)), self.n_days)
        candidates: Int64Array = np.union1d(self._neighbor_keys, keys)
        weights = self._table.weights(candidates, self.n_days)
        is_neighbor: BoolArray = weights >= self._min_weight
        self._neighbor_keys = candidates[is_neighbor]

    @property
    def n_neighbor_pairs(self) -> int:
        """The number of neighbor pairs."""
        return len(self._neighbor_keys)

    def edges(self) -> tuple[Int32Array, Int32Array, UInt64Array]:
        """(n,) items i, (n,) items j > i and (n,) weights in units of 2⁻⁴⁰, sorted by (i, j).

        These are all edges with a nonzero weight, including those below the threshold. Two graphs
        with equal edges and numbers of days are equal.
        """
        keys, weights = self._table.edges(self.n_days)
        return *_unpack(keys), weights

    def neighbors(self) -> Neighbors:
        """The item neighbors for the sessions of the next day."""
        weights = self._table.weights(self._neighbor_keys, self.n_days)
        # the 53 bits of a float64 are exact for weights below 2¹³ with 40 fractional bits
        return Neighbors.from_pairs(*_unpack(self._neighbor_keys), weights / 2.0**FRACTION_BITS)

    def state(self) -> dict[str, AnyArray]:
        """The edges, weights and number of days as named arrays, for `from_state`."""
        keys, weights = self._table.edges(self.n_days)
        return {
            "graph_edges": keys,
            "graph_weights": weights.view(np.int64),
            "graph_day": np.array([self.n_days], np.int64),
        }

    @staticmethod
    def check_state(state: Mapping[str, AnyArray], n_items: int) -> None:
        """Check arrays from a file before `from_state`.

        Raises:
            ArrayError: an array is missing, or an edge, a weight or the day is out of range.
        """
        keys, weights, day = (
            named_array(state, name) for name in ("graph_edges", "graph_weights", "graph_day")
        )
        for name, array in (("graph_edges", keys), ("graph_weights", weights), ("graph_day", day)):
            check_array(name, array, np.int64)
        check_length("graph_day", day, 1)
        check_range("graph_day", day, 0, 2**31 - 1)
        check_length("graph_weights", weights, len(keys))
        first, second = _unpack(keys)
        check_range("the first items of graph_edges", first, 1, n_items)
        check_range("the second items of graph_edges", second, 1, n_items)
        if np.any(first >= second) or np.any(keys[1:] <= keys[:-1]):
            raise ArrayError("graph_edges must ascend, and the first item precede the second")

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, AnyArray],
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
    ) -> Self:
        """Restore a graph from its `state`, given the same parameters."""
        graph = cls(edge=edge, decay=decay, threshold=threshold)
        graph.n_days = int(state["graph_day"][0])
        keys = np.array(state["graph_edges"], np.int64)
        weights = np.array(state["graph_weights"], np.int64).view(np.uint64)
        graph._table.add(keys, weights, graph.n_days)
        graph._neighbor_keys = keys[weights >= graph._min_weight]
        return graph


def remap_graph_state(state: Mapping[str, AnyArray], index: Int32Array) -> dict[str, AnyArray]:
    """The `state` of a graph with new item indices: item i becomes `index[i]`.

    Arrays that do not belong to a graph are returned unchanged.
    """
    if "graph_edges" not in state:
        return dict(state)
    i, j = (index[items].astype(np.int64) for items in _unpack(state["graph_edges"]))
    keys = (np.minimum(i, j) << 32) | np.maximum(i, j)
    order = np.argsort(keys, kind="stable")
    return {
        **state,
        "graph_edges": keys[order],
        "graph_weights": state["graph_weights"][order],
    }


def _unpack(keys: Int64Array) -> tuple[Int32Array, Int32Array]:
    """(n,) items i and (n,) items j of (n,) keys i << 32 | j."""
    return (keys >> 32).astype(np.int32), (keys & (2**32 - 1)).astype(np.int32)
