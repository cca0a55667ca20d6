"""Prequential evaluation: the scorer is updated with each block of time before the next one.

A session of block t is scored by a model of all blocks before t, including those of the test split.
No session affects the scores of its own block or of earlier ones. Other models are not updated with
the test split, so prequential results are labeled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Scorer


@dataclass(frozen=True, slots=True)
class BlockRow:
    """An evaluated block of time.

    Attributes:
        block: number of the block.
        sessions: number of evaluated sessions.
        neighbor_pairs: number of item pairs in the temporal item graph when they were scored.
    """

    block: int
    sessions: int
    neighbor_pairs: int


class Prequential:
    """Updates a copy of a scorer block by block.

    Attributes:
        scorer: the updated copy; the original scorer does not change.
        rows: the blocks evaluated so far.
    """

    def __init__(self, scorer: Scorer, history: Sessions, sessions: Sessions):
        """Update the scorer with the blocks before the first session.

        Args:
            scorer: a model that is updated block by block.
            history: all sessions before `sessions`. It may contain the start of their first block;
                the scorer is updated with it together with the rest of that block.
            sessions: sessions to evaluate.

        Raises:
            ConfigError: the scorer has no update by block, or the sessions have no blocks.
        """
        if not (isinstance(scorer, Model) and scorer.capabilities.update == "by-block"):
            name = scorer.name if isinstance(scorer, Model) else type(scorer).__name__
            raise ConfigError(
                f"prequential must be false for {name}: with these parameters the model has no "
                "state that later days update; omit the option"
            )
        if history.blocks is None or sessions.blocks is None:
            raise ConfigError(
                "prequential needs sessions with blocks of time; prepare the log with --time-column"
            )
        first = int(sessions.blocks[0])
        n_before = int(np.searchsorted(history.blocks, first))
        self.scorer = scorer.with_history(history, first)
        self.rows: list[BlockRow] = []
        self._start_of_first_block = history.slice(n_before, len(history))
        self._sessions = sessions

    def block_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of the sessions of each block, after the update with earlier ones."""
        blocks = np.asarray(self._sessions.blocks)
        numbers = range(int(blocks[0]), int(blocks[-1]) + 1)
        for block in numbers:
            start, stop = np.searchsorted(blocks, [block, block + 1]).tolist()
            if stop > start:
                n_edges = self.scorer.neighbor_pairs[block]
                self.rows.append(BlockRow(block, stop - start, n_edges))
                yield start, stop
            day = self._sessions.slice(start, stop)
            if block == numbers[0] and len(self._start_of_first_block):
                day = self._start_of_first_block.concatenate(day)
            if block != numbers[-1]:
                self.scorer.advance(day)
