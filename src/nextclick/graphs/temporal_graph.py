"""TASRec's temporal graph: which items were clicked one after the other, fading day by day.

For the sessions of day t (numbers are the equations of TASRec):

    E_t = Σ over t' < t of e_t' · decay^(t - 1 - t')                       (1)
    E_{t+1} = e_t + decay · E_t

with e_t'(i, j) = 1 if i and j were adjacent clicks of a session of day t' ("binary"), or how often
they were ("count"). The graph is symmetric, an item is no neighbor of itself. Neighbors on day t
are the pairs with E_t ≥ threshold. With binary edges, decay 1/2 and threshold 1 these are exactly
the pairs seen on day t - 1: all earlier days together weigh less than 1.

Weights are fixed-point numbers; see `edge_table` for why, and for what "exactly" means.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, get_args

import numpy as np

from nextclick.errors import ConfigError
from nextclick.graphs.adjacent_clicks import adjacent_clicks
from nextclick.graphs.edge_table import FACTOR_BITS, FRACTION_BITS, EdgeTable, amounts_of
from nextclick.graphs.neighbors import Neighbors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array
    from nextclick.graphs.edge_table import UInt64Array

EdgeKind: TypeAlias = Literal["binary", "count"]
_LEAST_THRESHOLD = 2.0**-FRACTION_BITS
_MOST_THRESHOLD = 2.0**20


class TemporalGraph:
    """Edges between items with weights that fade, brought from day to day by `advance`.

    Attributes:
        n_days: how many days it has seen; its weights are for the sessions of the day after.
    """

    def __init__(self, *, edge: EdgeKind = "binary", decay: float = 0.5, threshold: float = 1.0):
        """Begin with no day and no edge.

        Args:
            edge: "binary" counts a pair once a day, "count" as often as it was clicked.
            decay: what a day multiplies all weights by, in 2⁻³² ≤ decay < 1; taken to 32 binary
                places.
            threshold: least weight of a neighbor; taken to 40 binary places.

        Raises:
            ConfigError: an argument out of its range.
        """
        if edge not in get_args(EdgeKind):
            raise ConfigError(f"edge must be binary or count, got {edge!r}")
        if not 2.0**-FACTOR_BITS <= decay < 1.0:
            raise ConfigError(f"decay must be at least 2**-32 and below 1, got {decay}")
        if not _LEAST_THRESHOLD <= threshold <= _MOST_THRESHOLD:
            raise ConfigError(f"threshold must be in 2**-40..2**20, got {threshold}")
        self.edge = edge
        self.decay = decay
        self.threshold = threshold
        self.n_days = 0
        factor = min(round(Fraction(decay) * 2**FACTOR_BITS), 2**FACTOR_BITS - 1)
        self._table = EdgeTable(factor)
        self._least = np.uint64(math.ceil(Fraction(threshold) * 2**FRACTION_BITS))
        self._alive: Int64Array = np.empty(0, np.int64)  # keys of today's neighbors, ascending

    def advance(self, day_log: Sessions) -> None:
        """Go on by one day, whose sessions are `day_log`; an empty log is a day without clicks.

        The cost grows with the clicks of the day and with the edges that were alive before it,
        which are no more than the days before it have left: not with the history.
        """
        i, j = adjacent_clicks(day_log)
        pairs = (np.minimum(i, j) << 32) | np.maximum(i, j)
        keys, counts = np.unique(pairs, return_counts=True)
        if self.edge == "binary":
            counts = np.ones_like(counts)
        self.n_days += 1
        self._table.add(keys, amounts_of(counts.astype(np.int64)), self.n_days)
        asked: Int64Array = np.union1d(self._alive, keys)
        alive: BoolArray = self._table.weights(asked, self.n_days) >= self._least
        self._alive = asked[alive]

    @property
    def n_alive(self) -> int:
        """Pairs of items that are neighbors."""
        return len(self._alive)

    def edges(self) -> tuple[Int32Array, Int32Array, UInt64Array]:
        """(n,) items i, (n,) items j > i and (n,) weights in units of 2⁻⁴⁰, ascending by (i, j).

        All edges with a weight, whether or not they reach the threshold. Two graphs are equal if
        these and their numbers of days are.
        """
        keys, weights = self._table.edges(self.n_days)
        return *_pair(keys), weights

    def neighbors(self) -> Neighbors:
        """Who is whose neighbor in the sessions of the day that comes next."""
        weights = self._table.weights(self._alive, self.n_days)
        # float64 has 53 binary places: enough for 40 and a weight below 2¹³
        return Neighbors.of_pairs(*_pair(self._alive), weights / 2.0**FRACTION_BITS)

    def state(self) -> dict[str, AnyArray]:
        """Edges, weights and the day as named arrays; `from_state` of it is an equal graph."""
        keys, weights = self._table.edges(self.n_days)
        return {
            "graph_edges": keys,
            "graph_weights": weights.view(np.int64),
            "graph_day": np.array([self.n_days], np.int64),
        }

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, AnyArray],
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
    ) -> Self:
        """Build the graph that gave `state`, with the parameters that it had."""
        graph = cls(edge=edge, decay=decay, threshold=threshold)
        graph.n_days = int(state["graph_day"][0])
        keys = np.array(state["graph_edges"], np.int64)
        weights = np.array(state["graph_weights"], np.int64).view(np.uint64)
        graph._table.add(keys, weights, graph.n_days)
        graph._alive = keys[weights >= graph._least]
        return graph


def renumbered_graph(state: Mapping[str, AnyArray], index: Int32Array) -> dict[str, AnyArray]:
    """The arrays of a graph's `state` for another vocabulary: item i becomes index[i].

    Other arrays are given back as they are, and so are all where there is no graph among them.
    """
    if "graph_edges" not in state:
        return dict(state)
    one, other = (index[items].astype(np.int64) for items in _pair(state["graph_edges"]))
    keys = (np.minimum(one, other) << 32) | np.maximum(one, other)
    order = np.argsort(keys, kind="stable")
    moved = {"graph_edges": keys[order], "graph_weights": state["graph_weights"][order]}
    return {**state, **moved}


def _pair(keys: Int64Array) -> tuple[Int32Array, Int32Array]:
    return (keys >> 32).astype(np.int32), (keys & (2**32 - 1)).astype(np.int32)
