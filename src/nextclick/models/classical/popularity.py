"""POP and S-POP: items ranked by clicks in the training log, or in the session.

The baselines of Hidasi et al. (Session-based Recommendations with Recurrent Neural Networks, ICLR
2016, section 4). The POP score of an item is its number of clicks in training. The S-POP score is

    clicks on the item within the session + r,    0 < r < 1

where r increases with the popularity of the item: it breaks ties, and ranks the items that are not
in the session. r is the rank of the popularity among the distinct popularities, divided by their
number plus one. Items with the same number of clicks have the same score, as in POP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from nextclick.core.array_checks import check_factors
from nextclick.core.types import (
    AnyArray,
    Float32Array,
    Int32Array,
    Int64Array,
    Progress,
    SparseScores,
)
from nextclick.models.base import Capabilities, Model
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.models.incremental_state import PriorSessions


_CAPABILITIES = Capabilities(
    deterministic=True, update="exact", explains=True, sparse_scores=True, first_click=True
)


@dataclass(frozen=True, slots=True)
class PopConfig:
    """POP has no parameters."""


class Pop(Model):
    """Number of training clicks of an item, independent of the session."""

    name: ClassVar[str] = "pop"
    default_capabilities: ClassVar[Capabilities] = _CAPABILITIES
    Config: ClassVar[type[PopConfig]] = PopConfig

    def __init__(self, config: PopConfig, popularity: Float32Array):
        self.config = config
        self.popularity = popularity  # (N + 1,); float32 is exact up to 16,777,216

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.popularity) - 1

    @classmethod
    def fit(cls, sessions: Sessions, config: PopConfig, *, seed: int, progress: Progress) -> Self:
        """Count clicks per item; deterministic."""
        del seed
        progress("items", sessions.n_items, sessions.n_items)
        return cls._from_support(sessions.support(), config)

    @classmethod
    def _from_support(cls, support: Int64Array, config: PopConfig) -> Self:
        popularity = support.astype(np.float32)
        popularity[0] = 0.0
        return cls(config, popularity)

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """Add the clicks of the new log."""
        progress("items", new.n_items, new.n_items)
        return self._from_support(past.support + new.support(), self.config)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """No listed items: every session has the scores of the base."""
        return SparseScores(
            offsets=np.zeros(len(batch) + 1, dtype=np.int64),
            items=np.empty(0, dtype=np.int32),
            values=np.empty(0, dtype=np.float32),
            base=self.popularity,
        )

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Attribute each score to the training clicks; no click of the session contributes."""
        clicks = np.zeros((len(items), batch.lengths[0]), dtype=np.float32)
        return ModelExplanation(
            parts=ScoreContributions(clicks, {"clicks in training": self.popularity[items]})
        )

    def state(self) -> dict[str, AnyArray]:
        """Training clicks per item."""
        return {"popularity": self.popularity}

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: PopConfig, n_items: int) -> None:
        """Check the shapes of the arrays."""
        super().check_state(state, config, n_items)
        check_factors(state, n_items, rows=("popularity",))

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: PopConfig) -> Self:
        """Build the model from the arrays of `state`."""
        return cls(config, state["popularity"])


@dataclass(frozen=True, slots=True)
class SessionPopConfig:
    """S-POP has no parameters."""


class SessionPop(Model):
    """Clicks on the item in the session, then its popularity."""

    name: ClassVar[str] = "s-pop"
    default_capabilities: ClassVar[Capabilities] = _CAPABILITIES
    Config: ClassVar[type[SessionPopConfig]] = SessionPopConfig

    def __init__(self, config: SessionPopConfig, rank: Float32Array):
        self.config = config
        self.rank = rank  # (N + 1,) in (0, 1), higher is more popular

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.rank) - 1

    @classmethod
    def fit(
        cls, sessions: Sessions, config: SessionPopConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Rank the items by clicks; deterministic."""
        del seed
        progress("items", sessions.n_items, sessions.n_items)
        return cls._from_support(sessions.support(), config)

    @classmethod
    def _from_support(cls, support: Int64Array, config: SessionPopConfig) -> Self:
        rank = np.zeros(len(support), dtype=np.float32)
        levels, level = np.unique(support[1:], return_inverse=True)
        rank[1:] = (level + 1) / (len(levels) + 1)
        return cls(config, rank)

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """Add the clicks of the new log."""
        progress("items", new.n_items, new.n_items)
        return self._from_support(past.support + new.support(), self.config)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """List the distinct items of each session."""
        T = batch.items.shape[1]
        is_click = np.arange(T) < batch.lengths[:, None]  # (B, T)
        keys = np.nonzero(is_click)[0] * (self.n_items + 1) + batch.items[is_click]
        pairs, clicks = np.unique(keys, return_counts=True)  # one integer per (row, item)
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

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Attribute 1 to each click on the item, and the rest to its popularity."""
        is_item = batch.items[:1, : batch.lengths[0]] == items[:, None]  # (K, n)
        clicks = is_item.astype(np.float32)
        return ModelExplanation(
            parts=ScoreContributions(clicks, {"rank by popularity": self.rank[items]})
        )

    def state(self) -> dict[str, AnyArray]:
        """Popularity rank per item, scaled to (0, 1)."""
        return {"rank": self.rank}

    @classmethod
    def check_state(
        cls, state: Mapping[str, AnyArray], config: SessionPopConfig, n_items: int
    ) -> None:
        """Check the shapes of the arrays."""
        super().check_state(state, config, n_items)
        check_factors(state, n_items, rows=("rank",))

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: SessionPopConfig) -> Self:
        """Build the model from the arrays of `state`."""
        return cls(config, state["rank"])
