"""The temporal item graph of the blocks of a log that are over, and the block that is not.

Sessions of block t read the graph of the blocks before t. A log usually ends within a block. Its
pairs are kept apart and affect no neighbor until the block is over: a part of a day must not count
as a day, or the first hour of a night would replace the whole day before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nextclick.graphs.temporal_graph import (
    EDGE_ARRAYS,
    TemporalGraph,
    add_pairs,
    check_edges,
    neighbors_of_edges,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.graphs.edge_table import UInt64Array
    from nextclick.graphs.neighbors import Neighbors

_NO_EDGES = np.empty(0, np.int64)


class BlockGraphs:
    """The graphs that a model with a temporal item graph predicts with.

    Attributes:
        closed: the graph of all blocks that are over.
    """

    def __init__(self, closed: TemporalGraph):
        """Start with a graph of whole blocks, and no click of the next one."""
        self.closed = closed
        self._open: tuple[Int64Array, Int64Array] = (_NO_EDGES, _NO_EDGES)
        self._earlier: tuple[Int64Array, UInt64Array] = (_NO_EDGES, np.empty(0, np.uint64))

    @property
    def n_open_pairs(self) -> int:
        """The number of pairs of the block that is not over."""
        return len(self._open[0])

    def add(self, sessions: Sessions) -> None:
        """Add sessions to the block that is not over; no neighbor changes."""
        self._open = add_pairs(self._open, self.closed.pairs_of(sessions))

    def close(self) -> None:
        """End the open block: its pairs, those of `add`, become part of the graph."""
        self._earlier = self.closed.neighbor_edges()
        self.closed.advance_by_pairs(*self._open)
        self._open = (_NO_EDGES, _NO_EDGES)

    def neighbors(self) -> Neighbors:
        """The neighbors for sessions after the last block that is over."""
        return self.closed.neighbors()

    def earlier_neighbors(self) -> Neighbors:
        """The neighbors for sessions of the last block that is over."""
        return neighbors_of_edges(*self._earlier)

    def state(self) -> dict[str, AnyArray]:
        """All graphs as named arrays, for `from_state`."""
        edges, weights = self._earlier
        return self.closed.state() | {
            "earlier_edges": edges,
            "earlier_weights": weights.view(np.int64),
            "open_edges": self._open[0],
            "open_counts": self._open[1],
        }

    @staticmethod
    def check_state(state: Mapping[str, AnyArray], n_items: int) -> None:
        """Check arrays from a file before `from_state`.

        Raises:
            ArrayError: an array is missing, or an edge, a weight or the day is out of range.
        """
        TemporalGraph.check_state(state, n_items)
        for edges in EDGE_ARRAYS:
            check_edges(state, edges, n_items)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], options: Mapping[str, Any]) -> Self:
        """Restore the graphs from their `state`, given the same parameters."""
        graphs = cls(TemporalGraph.from_state(state, **options))
        arrays = {
            name: np.array(state[name], np.int64)
            for name in ("earlier_edges", "earlier_weights", "open_edges", "open_counts")
        }
        graphs._earlier = (arrays["earlier_edges"], arrays["earlier_weights"].view(np.uint64))
        graphs._open = (arrays["open_edges"], arrays["open_counts"])
        return graphs
