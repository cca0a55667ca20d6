"""POP and S-POP: the most clicked items, of the log and of the session.

The floor that Hidasi et al. (Session-based Recommendations with Recurrent Neural Networks, ICLR
2016, section 4) compare against. POP scores an item with its clicks in training. S-POP scores

    clicks of the item within the session + r,    0 < r < 1

where r grows with the item's popularity and so decides between equal counts and orders everything
that the session has not seen. r is the rank among the distinct popularities divided by their
number plus one: items clicked equally often keep equal scores, as in POP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from nextclick.core.types import (
    AnyArray,
    Float32Array,
    Int32Array,
    Int64Array,
    Progress,
    SparseScores,
)
from nextclick.models.base import Capabilities, Model
from nextclick.models.explanation import Evidence, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.models.incremental_state import PriorSessions


_COUNTS = Capabilities(deterministic=True, update="exact", explains=True, sparse_scores=True)


@dataclass(frozen=True, slots=True)
class PopConfig:
    """POP has nothing to set."""


class Pop(Model):
    """The training clicks of an item, whatever the session."""

    name: ClassVar[str] = "pop"
    default_capabilities: ClassVar[Capabilities] = _COUNTS
    Config: ClassVar[type[PopConfig]] = PopConfig

    def __init__(self, config: PopConfig, popularity: Float32Array):
        self.config = config
        self.popularity = popularity  # (N + 1,); float32 counts exactly to 16,777,216

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.popularity) - 1

    @classmethod
    def fit(cls, sessions: Sessions, config: PopConfig, *, seed: int, progress: Progress) -> Self:
        """Count clicks; nothing is drawn at random."""
        del seed
        progress("items", sessions.n_items, sessions.n_items)
        return cls._of(sessions.support(), config)

    @classmethod
    def _of(cls, support: Int64Array, config: PopConfig) -> Self:
        popularity = support.astype(np.float32)
        popularity[0] = 0.0
        return cls(config, popularity)

    def extended(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model of both logs."""
        progress("items", new.n_items, new.n_items)
        return self._of(past.support + new.support(), self.config)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """List nothing: every session has the scores of the base."""
        return SparseScores(
            offsets=np.zeros(len(batch) + 1, dtype=np.int64),
            items=np.empty(0, dtype=np.int32),
            values=np.empty(0, dtype=np.float32),
            base=self.popularity,
        )

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """The count alone."""
        nothing = np.zeros((len(items), batch.lengths[0]), dtype=np.float32)
        return Evidence(parts=Parts(nothing, {"clicks in training": self.popularity[items]}))

    def state(self) -> dict[str, AnyArray]:
        """Clicks per item."""
        return {"popularity": self.popularity}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: PopConfig) -> Self:
        """Build the model that gave `state`."""
        return cls(config, state["popularity"])


@dataclass(frozen=True, slots=True)
class SessionPopConfig:
    """S-POP has nothing to set."""


class SessionPop(Model):
    """The session's own clicks of an item, then its popularity."""

    name: ClassVar[str] = "s-pop"
    default_capabilities: ClassVar[Capabilities] = _COUNTS
    Config: ClassVar[type[SessionPopConfig]] = SessionPopConfig

    def __init__(self, config: SessionPopConfig, rank: Float32Array):
        self.config = config
        self.rank = rank  # (N + 1,), in (0, 1), higher is more popular

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.rank) - 1

    @classmethod
    def fit(
        cls, sessions: Sessions, config: SessionPopConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Rank the items by clicks; nothing is drawn at random."""
        del seed
        progress("items", sessions.n_items, sessions.n_items)
        return cls._of(sessions.support(), config)

    @classmethod
    def _of(cls, support: Int64Array, config: SessionPopConfig) -> Self:
        rank = np.zeros(len(support), dtype=np.float32)
        levels, level = np.unique(support[1:], return_inverse=True)
        rank[1:] = (level + 1) / (len(levels) + 1)
        return cls(config, rank)

    def extended(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model of both logs."""
        progress("items", new.n_items, new.n_items)
        return self._of(past.support + new.support(), self.config)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """List the items of each session."""
        T = batch.items.shape[1]
        row, _ = within = np.nonzero(np.arange(T) < batch.lengths[:, None])  # (clicks,) each
        pair = row * (self.n_items + 1) + batch.items[within]  # one number for (session, item)
        pairs, clicks = np.unique(pair, return_counts=True)
        rows, items = np.divmod(pairs, self.n_items + 1)
        return SparseScores(
            offsets=np.searchsorted(rows, np.arange(len(batch) + 1)),
            items=items.astype(np.int32),
            values=clicks.astype(np.float32) + self.rank[items],
            base=self.rank,
        )

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """1 of each click on the item, and its rank."""
        own = (batch.items[:1, : batch.lengths[0]] == items[:, None]).astype(np.float32)  # (K, n)
        return Evidence(parts=Parts(own, {"rank by popularity": self.rank[items]}))

    def state(self) -> dict[str, AnyArray]:
        """Scaled popularity rank per item."""
        return {"rank": self.rank}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: SessionPopConfig) -> Self:
        """Build the model that gave `state`."""
        return cls(config, state["rank"])
