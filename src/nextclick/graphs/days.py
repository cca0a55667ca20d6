"""The temporal graph of every day of a log: what the sessions of a day know of earlier days."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.errors import ConfigError
from nextclick.graphs.temporal import EdgeKind, TemporalGraph

if TYPE_CHECKING:
    from nextclick.graphs.neighbours import Neighbours
    from nextclick.sessions import Sessions


class DayGraphs:
    """Neighbours for the sessions of each block of time of a log, out of the blocks before it.

    Attributes:
        first: the first block of the log, whose sessions have no neighbours.
        graph: the graph after the last block; `graph.advance` goes on from there.
        days: neighbours for the sessions of block `first + k`; the last entry is for those of the
            block that follows the log.
    """

    def __init__(self, first: int, graph: TemporalGraph, days: list[Neighbours]):
        self.first = first
        self.graph = graph
        self.days = days

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
            threshold: least weight of a neighbour.
            stop: the first block that is left out, with all behind it; blocks that the log does not
                reach are days without clicks. None is the one after the log.

        Raises:
            ConfigError: an argument out of its range, or a log without blocks.
        """
        if sessions.blocks is None or len(sessions) == 0:
            raise ConfigError(
                "a graph of days needs sessions with times; prepare the log with --time-column"
            )
        blocks = np.asarray(sessions.blocks)
        graph = TemporalGraph(edge=edge, decay=decay, threshold=threshold)
        days = [graph.neighbours()]
        end = int(blocks[-1]) + 1 if stop is None else stop
        first = min(int(blocks[0]), end)
        numbers = np.arange(first, end + 1)
        bounds = np.searchsorted(blocks, numbers).tolist()
        for start, stop in pairwise(bounds):
            graph.advance(sessions.slice(start, stop))
            days.append(graph.neighbours())
        return cls(first, graph, days)

    def before(self, block: int) -> Neighbours:
        """What sessions of a block may know; of a later one than the log's, what it ends with."""
        return self.days[min(max(block - self.first, 0), len(self.days) - 1)]

    def n_alive(self) -> list[int]:
        """Pairs of neighbours for the sessions of each block, and for those after the log."""
        return [len(day.neighbours) // 2 for day in self.days]
