"""Statistics of TASRec's temporal item graph for each block of time."""

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
class TemporalGraphStats:
    """Pairs of items in the temporal graph, one value per block; empty blocks are included.

    Attributes:
        blocks: block numbers, counted from the first block of the whole log.
        neighbor_pairs: pairs that are neighbors for the sessions of the block: e ≥ 1 in equation 1.
        clicked_pairs: distinct pairs of adjacent clicks in these sessions.
        clicked_neighbor_pairs: clicked pairs that are neighbors.
    """

    blocks: list[int]
    neighbor_pairs: list[int]
    clicked_pairs: list[int]
    clicked_neighbor_pairs: list[int]


def temporal_graph_stats(sessions: Sessions) -> TemporalGraphStats | None:
    """Advance the graph of the paper (binary edges, decay 1/2, threshold 1) block by block.

    Args:
        sessions: sessions with blocks, in chronological order.

    Returns:
        None if there are fewer than two blocks.

    Raises:
        ValueError: the sessions have no blocks.
    """
    if sessions.blocks is None:
        raise ValueError("the temporal graph needs blocks of time, but these sessions have none")
    first, stop = int(sessions.blocks[0]), int(sessions.blocks[-1]) + 1
    if stop - first < 2:
        return None
    graph = TemporalGraph()
    stats = TemporalGraphStats([], [], [], [])
    previous = _pair_keys(graph.neighbors())
    for block, block_sessions in sessions.by_block(first, stop):
        graph.advance(block_sessions)
        # with this decay and threshold the neighbors are the pairs clicked in the last block
        clicked = _pair_keys(graph.neighbors())
        stats.blocks.append(block)
        stats.neighbor_pairs.append(len(previous))
        stats.clicked_pairs.append(len(clicked))
        common = np.intersect1d(previous, clicked, assume_unique=True)
        stats.clicked_neighbor_pairs.append(len(common))
        previous = clicked
    return stats


def _pair_keys(neighbors: Neighbors) -> Int64Array:
    """(n,) one int64 key for each unordered pair of neighbors."""
    rows = np.repeat(neighbors.items, np.diff(neighbors.offsets)).astype(np.int64)
    columns = neighbors.neighbors
    keys: Int64Array = ((rows << 32) | columns)[rows < columns]
    return keys
