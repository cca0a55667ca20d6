"""Temporal item graph of TASRec: pairs of clicks, with weights that decay every day.

For the sessions of day t (numbers are the equations of TASRec):

    E_t = Σ over t' < t of e_t' · decay^(t - 1 - t')                       (1)
    E_{t+1} = e_t + decay · E_t

where e_t'(i, j) is 1 if i and j are adjacent clicks in a session of day t' ("binary"), or the
number of adjacent clicks ("count"). The paper's "j after i" may also mean clicks that are further
apart in their session, which `distance` counts too. The graph is symmetric and has no self-loops.
The neighbors on day t are the pairs with E_t ≥ threshold. With binary edges, decay 1/2 and
threshold 1 they are exactly the pairs of day t - 1, because the weights of all earlier days sum to
less than 1.

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
from nextclick.graphs.adjacent_clicks import clicks_after
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
EDGE_ARRAYS = {
    "graph_edges": "graph_weights",
    "earlier_edges": "earlier_weights",
    "open_edges": "open_counts",
}
"""The arrays of edges in states, also of `block_graphs`, to their weights or counts."""
_NO_PAIRS = (np.empty(0, np.int64), np.empty(0, np.int64))


class TemporalGraph:
    """Item edges with decaying weights; `advance` adds one day.

    Attributes:
        n_days: the number of days added; the weights apply to the sessions of the following day.
    """

    def __init__(
        self,
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
        distance: int = 1,
    ):
        """Create an empty graph.

        Args:
            edge: "binary" counts a pair once a day, "count" counts all its occurrences.
            decay: daily factor of all weights, 2⁻³² ≤ decay < 1, rounded to 32 fractional bits.
            threshold: minimum weight of a neighbor, rounded up to 40 fractional bits.
            distance: largest distance of the clicks of a pair; 0 for all pairs of a session.

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
        self.distance = distance
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
        self.advance_by_pairs(*self.pairs_of(day_log))

    def pairs_of(self, day_log: Sessions) -> tuple[Int64Array, Int64Array]:
        """(n,) ascending keys i << 32 | j, i < j, of the pairs of a log, and (n,) their counts."""
        keys, counts = _NO_PAIRS
        for i, j in clicks_after(day_log, self.distance):
            pairs = (np.minimum(i, j) << 32) | np.maximum(i, j)
            keys, counts = add_pairs((keys, counts), np.unique(pairs, return_counts=True))
        return keys, counts

    def advance_by_pairs(self, keys: Int64Array, counts: Int64Array) -> None:
        """Decay all weights by one day and add the pairs of the day, see `pairs_of`."""
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
        return neighbors_of_edges(*self.neighbor_edges())

    def neighbor_edges(self) -> tuple[Int64Array, UInt64Array]:
        """(n,) ascending keys of the neighbor pairs and (n,) weights in units of 2⁻⁴⁰."""
        return self._neighbor_keys, self._table.weights(self._neighbor_keys, self.n_days)

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
        day = named_array(state, "graph_day")
        check_array("graph_day", day, np.int64)
        check_length("graph_day", day, 1)
        check_range("graph_day", day, 0, 2**31 - 1)
        check_edges(state, "graph_edges", n_items)

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, AnyArray],
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
        distance: int = 1,
    ) -> Self:
        """Restore a graph from its `state`, given the same parameters."""
        graph = cls(edge=edge, decay=decay, threshold=threshold, distance=distance)
        graph.n_days = int(state["graph_day"][0])
        keys = np.array(state["graph_edges"], np.int64)
        weights = np.array(state["graph_weights"], np.int64).view(np.uint64)
        graph._table.add(keys, weights, graph.n_days)
        graph._neighbor_keys = keys[weights >= graph._min_weight]
        return graph


def add_pairs(
    pairs: tuple[Int64Array, Int64Array], more: tuple[AnyArray, AnyArray]
) -> tuple[Int64Array, Int64Array]:
    """The sum of two lists of ascending keys and their counts, see `TemporalGraph.pairs_of`."""
    keys, index = np.unique(np.concatenate([pairs[0], more[0]]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, index.reshape(-1), np.concatenate([pairs[1], more[1]]))
    return keys, counts


def neighbors_of_edges(keys: Int64Array, weights: UInt64Array) -> Neighbors:
    """The neighbors of (n,) keys with (n,) weights in units of 2⁻⁴⁰."""
    # the 53 bits of a float64 are exact for weights below 2¹³ with 40 fractional bits
    return Neighbors.from_pairs(*_unpack(keys), weights / 2.0**FRACTION_BITS)


def check_edges(state: Mapping[str, AnyArray], edges: str, n_items: int) -> None:
    """Check a named array of edges, and that of their weights or counts.

    Raises:
        ArrayError: an array is missing, or an edge is out of range.
    """
    weights = EDGE_ARRAYS[edges]
    keys, amounts = named_array(state, edges), named_array(state, weights)
    for name, array in ((edges, keys), (weights, amounts)):
        check_array(name, array, np.int64)
    check_length(weights, amounts, len(keys))
    first, second = _unpack(keys)
    check_range(f"the first items of {edges}", first, 1, n_items)
    check_range(f"the second items of {edges}", second, 1, n_items)
    if np.any(first >= second) or np.any(keys[1:] <= keys[:-1]):
        raise ArrayError(f"{edges} must ascend, and the first item precede the second")


def remap_graph_state(state: Mapping[str, AnyArray], index: Int32Array) -> dict[str, AnyArray]:
    """The `state` of graphs with new item indices: item i becomes `index[i]`.

    Arrays that do not belong to a graph are returned unchanged.
    """
    moved = dict(state)
    for edges, weights in EDGE_ARRAYS.items():
        if edges in state:
            i, j = (index[items].astype(np.int64) for items in _unpack(state[edges]))
            keys = (np.minimum(i, j) << 32) | np.maximum(i, j)
            order = np.argsort(keys, kind="stable")
            moved |= {edges: keys[order], weights: state[weights][order]}
    return moved


def _unpack(keys: Int64Array) -> tuple[Int32Array, Int32Array]:
    """(n,) items i and (n,) items j of (n,) keys i << 32 | j."""
    return (keys >> 32).astype(np.int32), (keys & (2**32 - 1)).astype(np.int32)
