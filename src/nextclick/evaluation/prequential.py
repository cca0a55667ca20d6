"""Ask about a log block by block, by a scorer that takes in each block before the next one.

A session of block t is answered with what is known of all blocks before t, those of the test among
them. A session of block t changes no answer for another one of block t, nor for any before. Scorers
that do not take in the test are not given that, so that figures made so carry a label.
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
    """A block of time that was asked about.

    Attributes:
        block: its number.
        sessions: that were asked about.
        edges_alive: pairs of items that were linked for them.
    """

    block: int
    sessions: int
    edges_alive: int


class Prequential:
    """Goes through the blocks of a log with a scorer.

    Attributes:
        scorer: what to ask; a scorer of its own, the one that was given does not change.
        rows: the blocks that have been asked about.
    """

    def __init__(self, scorer: Scorer, history: Sessions, sessions: Sessions):
        """Go to where the first session is asked about.

        Args:
            scorer: a model that updates block by block.
            history: all that lies before `sessions`; it may hold the beginning of their first
                block, which is taken in with the rest of that block, after it was asked about.
            sessions: what to ask about.

        Raises:
            ConfigError: a scorer that takes in nothing, or logs without blocks.
        """
        if not (isinstance(scorer, Model) and scorer.capabilities.update == "by-block"):
            name = scorer.name if isinstance(scorer, Model) else type(scorer).__name__
            raise ConfigError(
                f"prequential must be false for {name}: with these parameters it keeps nothing "
                "that later days could change; leave the option out"
            )
        if history.blocks is None or sessions.blocks is None:
            raise ConfigError(
                "prequential needs sessions with blocks of time; prepare the log with --time-column"
            )
        first = int(sessions.blocks[0])
        n_before = int(np.searchsorted(history.blocks, first))
        self.scorer = scorer.with_history(history, first)
        self.rows: list[BlockRow] = []
        self._begun = history.slice(n_before, len(history))
        self._sessions = sessions

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of the sessions of each block; the scorer then knows those before."""
        blocks = np.asarray(self._sessions.blocks)
        numbers = range(int(blocks[0]), int(blocks[-1]) + 1)
        for block in numbers:
            start, stop = np.searchsorted(blocks, [block, block + 1]).tolist()
            if stop > start:
                alive = self.scorer.edges_alive[block]
                self.rows.append(BlockRow(block, stop - start, alive))
                yield start, stop
            day = self._sessions.slice(start, stop)
            if block == numbers[0] and len(self._begun):
                day = self._begun.followed_by(day)
            if block != numbers[-1]:
                self.scorer.advance(day)
