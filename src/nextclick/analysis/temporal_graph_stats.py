"""What TASRec's graph of the days knows for the sessions of each block of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.graphs.temporal_graph import TemporalGraph

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array
    from nextclick.graphs.neighbors import Neighbors


@dataclass(frozen=True, slots=True)
class DayGraph:
    """Pairs of items in the graph, block by block; a block without sessions is one, too.

    Attributes:
        blocks: their numbers, counted from the first block of the whole log.
        alive: pairs that are neighbors for the sessions of the block: e ≥ 1 in equation 1.
        clicked: pairs of adjacent clicks of these sessions, each once.
        known: those of the clicked pairs that are neighbors.
    """

    blocks: list[int]
    alive: list[int]
    clicked: list[int]
    known: list[int]


def day_graph(sessions: Sessions) -> DayGraph | None:
    """Advance the graph of the paper (binary edges, decay 1/2, threshold 1) through the blocks.

    Args:
        sessions: with blocks, in their order.

    Returns:
        None if there are no two blocks.

    Raises:
        ValueError: the sessions have no blocks.
    """
    if sessions.blocks is None:
        raise ValueError("these sessions have no times, so no blocks of time to go through")
    first, stop = int(sessions.blocks[0]), int(sessions.blocks[-1]) + 1
    if stop - first < 2:
        return None
    graph = TemporalGraph()
    found = DayGraph([], [], [], [])
    before = _pairs(graph.neighbors())
    for block, day_log in sessions.by_block(first, stop):
        graph.advance(day_log)
        pairs = _pairs(graph.neighbors())  # with this decay and threshold those of one block
        found.blocks.append(block)
        found.alive.append(len(before))
        found.clicked.append(len(pairs))
        found.known.append(len(np.intersect1d(before, pairs, assume_unique=True)))
        before = pairs
    return found


def _pairs(neighbors: Neighbors) -> Int64Array:
    """(n,) a number for each pair of neighbors."""
    rows = np.repeat(neighbors.items, np.diff(neighbors.offsets)).astype(np.int64)
    columns = neighbors.neighbors
    keys: Int64Array = ((rows << 32) | columns)[rows < columns]
    return keys
