"""Temporal item graphs for each time block of a log, built from the blocks before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nextclick.errors import ConfigError
from nextclick.graphs.graph_file import GraphFile
from nextclick.graphs.temporal_graph import EdgeKind, TemporalGraph

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions


class DailyGraphs:
    """Item neighbors for the sessions of each time block, computed from earlier blocks only.

    Attributes:
        graph: the graph after the last block; `graph.advance` adds further blocks.
        neighbors_before: the neighbors for the sessions of each block, from the first block of
            the log, which has none, to the block after the log; in a temporary file.
    """

    def __init__(self, graph: TemporalGraph, before: GraphFile):
        self.graph = graph
        self.neighbors_before = before

    @classmethod
    def from_sessions(
        cls,
        sessions: Sessions,
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
        distance: int = 1,
        stop: int | None = None,
    ) -> Self:
        """Build the graphs of all blocks of a log; weights also decay over empty blocks.

        Args:
            sessions: sorted by the time of the last click, with blocks.
            edge: how pairs are counted; see `TemporalGraph`.
            decay: factor of all weights per block.
            threshold: minimum weight of a neighbor.
            distance: largest distance of the clicks of a pair.
            stop: exclude this and later blocks; blocks after the log have no clicks. None is the
                block after the log.

        Raises:
            ConfigError: an argument is out of range, or the sessions have no blocks.
        """
        if sessions.blocks is None or len(sessions) == 0:
            raise ConfigError(
                "a temporal item graph needs sessions with times; prepare the log with "
                "--time-column"
            )
        graph = TemporalGraph(edge=edge, decay=decay, threshold=threshold, distance=distance)
        end = int(sessions.blocks[-1]) + 1 if stop is None else stop
        first = min(int(sessions.blocks[0]), end)
        before = GraphFile()
        before[first] = graph.neighbors()
        for block, day_log in sessions.by_block(first, end):
            graph.advance(day_log)
            before[block + 1] = graph.neighbors()
        return cls(graph, before)

    def n_neighbor_pairs(self) -> dict[int, int]:
        """The number of neighbor pairs before each block and after the log."""
        return self.neighbors_before.n_pairs()
