"""Fading Markov: transition probabilities of the latest clicks, with decreasing weights.

For the latest L clicks x_1 … x_L, with f = `fade`:

    score(j) = Σ_a f^a P(j | x_{L-a}),    P(j | i) = transitions i → j / transitions from i

With `fade=0` the model is `markov` without its limit on neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from nextclick.core.search_space import FloatRange, IntRange, Space
from nextclick.core.session_batch import SessionBatch
from nextclick.models.base import Capabilities, Model
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress


@dataclass(frozen=True, slots=True)
class FadingMarkovConfig:
    """Parameters of the fading Markov chain."""

    fade: Annotated[
        float, Field(ge=0, le=1, description="f, weight of a click relative to the next one")
    ] = 0.5
    clicks: Annotated[int, Field(ge=1, description="L, number of latest clicks that are read")] = 5


class FadingMarkov(Model):
    """Transition probabilities of the latest clicks, weighted by recency."""

    name: ClassVar[str] = "fading-markov"
    Config: ClassVar[type[FadingMarkovConfig]] = FadingMarkovConfig
    default_capabilities: ClassVar[Capabilities] = Capabilities(deterministic=True, explains=True)
    search_space: ClassVar[Space] = {"fade": FloatRange(0.0, 1.0), "clicks": IntRange(1, 20)}

    def __init__(self, config: FadingMarkovConfig, state: Mapping[str, AnyArray]):
        self.config = config
        self.offsets = state["offsets"]  # (N + 2,), the row of item i ends at offsets[i + 1]
        self.items = state["items"]  # (J,) next items
        self.probability = state["probability"]  # (J,) transition probabilities

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.offsets) - 2

    @classmethod
    def fit(
        cls, sessions: Sessions, config: FadingMarkovConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Count transitions between known items; deterministic."""
        del seed
        n_rows = sessions.n_items + 1
        session = np.repeat(np.arange(len(sessions)), sessions.lengths())  # (E,)
        before, after = sessions.items[:-1], sessions.items[1:]
        is_pair = (session[:-1] == session[1:]) & (before > 0) & (after > 0)  # 0 is unknown
        keys = before[is_pair].astype(np.int64) * n_rows + after[is_pair]
        pairs, count = np.unique(keys, return_counts=True)
        before, after = np.divmod(pairs, n_rows)
        total = np.bincount(before, weights=count, minlength=n_rows)
        progress("transitions", len(sessions), len(sessions))
        state: dict[str, AnyArray] = {
            "offsets": np.searchsorted(before, np.arange(n_rows + 1)),
            "items": after.astype(np.int32),
            "probability": (count / total[before]).astype(np.float32),
        }
        return cls(config, state)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32; all scores of an empty session are 0."""
        scores = np.zeros((len(batch), self.n_items + 1), dtype=np.float32)
        for row, clicks, length in zip(scores, batch.items, batch.lengths, strict=True):
            latest = clicks[:length][::-1][: self.config.clicks]
            for age, item in enumerate(latest):
                entries = slice(self.offsets[item], self.offsets[item + 1])
                row[self.items[entries]] += self.config.fade**age * self.probability[entries]
        return scores

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """The contribution of each click to each score."""
        n = int(batch.lengths[0])
        contributions = np.zeros((len(items), n), dtype=np.float32)
        for age in range(min(n, self.config.clicks)):
            position = n - 1 - age
            click = SessionBatch.from_lists([batch.items[0, position : position + 1]])
            contributions[:, position] = self.config.fade**age * self.score(click)[0, items]
        return ModelExplanation(parts=ScoreContributions(contributions, {}))

    def state(self) -> dict[str, AnyArray]:
        """The arrays by name."""
        return {
            "offsets": self.offsets,
            "items": self.items,
            "probability": self.probability,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: FadingMarkovConfig) -> Self:
        """Build the model from the arrays of `state`."""
        return cls(config, state)
