"""What a model with a temporal item graph knows of the blocks of time, in training and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nextclick.core.array_checks import check_length, check_range, named_array
from nextclick.errors import ConfigError
from nextclick.graphs.block_graphs import BlockGraphs
from nextclick.graphs.graph_file import GraphFile
from nextclick.graphs.temporal_graph import TemporalGraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.graphs.neighbors import Neighbors

GRAPH_ARRAYS = (
    "graph_edges", "graph_weights", "graph_day", "last_block",
    "earlier_edges", "earlier_weights", "open_edges", "open_counts",
)  # fmt: skip


class TemporalHistory:
    """Graphs of the blocks that are over, of the one before, and the block that is not over.

    Attributes:
        graphs: the graphs; None for a model without a temporal graph, which counts blocks only.
        last_block: the last block that is over, -1 if none.
        neighbor_pairs: block of time to the number of neighbor pairs that its sessions read.
        before: the graphs before the blocks of training sessions; None outside training.
    """

    def __init__(self, options: Mapping[str, Any] | None, last_block: int = -1):
        """Start without clicks.

        Args:
            options: arguments of `TemporalGraph`; None for a model without a graph.
            last_block: the block before the first.
        """
        self.options = options
        self.graphs = None if options is None else BlockGraphs(TemporalGraph(**options))
        self.last_block = last_block
        self.neighbor_pairs: dict[int, int] = {}
        self.before: GraphFile | None = None

    @classmethod
    def from_sessions(
        cls, sessions: Sessions, before: int | None, options: Mapping[str, Any] | None
    ) -> Self:
        """The history after all blocks of some sessions, or after those before a block.

        Raises:
            ConfigError: there is a graph, and the sessions have no blocks of time.
        """
        if sessions.blocks is None or len(sessions) == 0:
            if options is not None:
                raise ConfigError(
                    "a temporal item graph needs sessions with times; prepare the log with "
                    "--time-column"
                )
            return cls(options, -1 if before is None else before - 1)
        end = int(sessions.blocks[-1]) + 1 if before is None else before
        first = min(int(sessions.blocks[0]), end)
        history = cls(options, first - 1)
        history._count_pairs()
        for _, block_sessions in sessions.by_block(first, end):
            history.advance(block_sessions)
        return history

    def advance(self, sessions: Sessions) -> None:
        """End the block after `last_block`: these sessions and those that `keep_open` has added.

        Raises:
            ConfigError: the sessions are of other blocks.
        """
        self.keep_open(sessions)
        self.last_block += 1
        if self.graphs is not None:
            self.graphs.close()
            self._count_pairs()

    def keep_open(self, sessions: Sessions) -> None:
        """Add sessions to the block after `last_block`, which is not over.

        Raises:
            ConfigError: the sessions are of other blocks.
        """
        block, blocks = self.last_block + 1, sessions.blocks
        if blocks is not None and len(blocks) and not (blocks[0] == blocks[-1] == block):
            raise ConfigError(
                f"sessions must be of block {block}, the block after last_block, got blocks "
                f"{blocks[0]}..{blocks[-1]}; advance block by block, with empty sessions for a "
                "block without clicks"
            )
        if self.graphs is not None:
            self.graphs.add(sessions)

    def follow(self, sessions: Sessions) -> None:
        """Go through training sessions, and keep the graph before each of their blocks.

        Their last block stays open.
        """
        if sessions.blocks is None:
            return
        end = int(sessions.blocks[-1])
        if self.graphs is None:
            self.last_block = end
            return
        self.before = GraphFile() if self.before is None else self.before
        for block, block_sessions in sessions.by_block(self.last_block + 1, end + 1):
            self.before[block] = self.graphs.neighbors()
            if block < end:
                self.advance(block_sessions)
            else:
                self.keep_open(block_sessions)

    def neighbors(self) -> Neighbors:
        """The neighbors for sessions after `last_block`."""
        assert self.graphs is not None
        return self.graphs.neighbors()

    def state(self) -> dict[str, AnyArray]:
        """The graphs and the last block as named arrays."""
        last_block = {"last_block": np.array([self.last_block], np.int64)}
        return last_block if self.graphs is None else self.graphs.state() | last_block

    @staticmethod
    def check_state(
        state: Mapping[str, AnyArray], n_items: int, *, has_graph: bool
    ) -> dict[str, AnyArray]:
        """Check arrays from a file before `from_state`, and return the others.

        Raises:
            ArrayError: an array is missing, or has another type, shape or range.
        """
        check_length("last_block", named_array(state, "last_block"), 1)
        check_range("last_block", state["last_block"], -1, 2**31 - 2)
        if has_graph:
            BlockGraphs.check_state(state, n_items)
        return {name: array for name, array in state.items() if name not in GRAPH_ARRAYS}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], options: Mapping[str, Any] | None) -> Self:
        """Restore a history from its `state`, given the same parameters."""
        history = cls(options, int(state["last_block"][0]))
        if options is not None:
            history.graphs = BlockGraphs.from_state(state, options)
            history._count_pairs()
        return history

    def _count_pairs(self) -> None:
        if self.graphs is not None:
            n_pairs = self.graphs.closed.n_neighbor_pairs
            self.neighbor_pairs = {**self.neighbor_pairs, self.last_block + 1: n_pairs}
