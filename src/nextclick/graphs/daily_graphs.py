"""The temporal graph of every day of a log: what the sessions of a day know of earlier days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nextclick.errors import ConfigError
from nextclick.graphs.temporal_graph import EdgeKind, TemporalGraph

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.graphs.neighbors import Neighbors


class DayGraphs:
    """Neighbors for the sessions of each block of time of a log, out of the blocks before it.

    Attributes:
        graph: the graph after the last block; `graph.advance` goes on from there.
        before: block to the neighbors for its sessions, from the first block of the log, which has
            none, to the one that follows the log.
    """

    def __init__(self, graph: TemporalGraph, before: dict[int, Neighbors]):
        self.graph = graph
        self.before = before

    @classmethod
    def of(
        cls,
        sessions: Sessions,
        *,
        edge: EdgeKind = "binary",
        decay: float = 0.5,
        threshold: float = 1.0,
        stop: int | None = None,
    ) -> Self:
        """Advance through the blocks of a log one by one; a block without sessions is a day, too.

        Args:
            sessions: in the order of their last click, with blocks.
            edge: see `TemporalGraph`, as for the next two.
            decay: what a block multiplies all weights by.
            threshold: least weight of a neighbor.
            stop: the first block that is left out, with all behind it; blocks that the log does not
                reach are days without clicks. None is the one after the log.

        Raises:
            ConfigError: an argument out of its range, or a log without blocks.
        """
        if sessions.blocks is None or len(sessions) == 0:
            raise ConfigError(
                "a graph of days needs sessions with times; prepare the log with --time-column"
            )
        graph = TemporalGraph(edge=edge, decay=decay, threshold=threshold)
        end = int(sessions.blocks[-1]) + 1 if stop is None else stop
        first = min(int(sessions.blocks[0]), end)
        before = {first: graph.neighbors()}
        for block, day_log in sessions.by_block(first, end):
            graph.advance(day_log)
            before[block + 1] = graph.neighbors()
        return cls(graph, before)

    def n_alive(self) -> dict[int, int]:
        """Pairs of neighbors for the sessions of each block, and for those after the log."""
        return {block: len(known.neighbors) // 2 for block, known in self.before.items()}
