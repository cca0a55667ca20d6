"""Markov: first-order transition probabilities of the last click.

MC in Ludewig & Jannach (Evaluation of Session-based Recommendation
Algorithms, UMUAI 2018, section 3.1). With i the last click:

    score(j) = P(j | i) = transitions i → j / transitions i → any known item

A repeated click is a transition i → i and is counted like any other, since visitors do return to
the item that is open. Items of the session are scored by the repeat model (see `repeat_model`);
with `repeats="keep"`, the published form, they are candidates like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from nextclick.core.search_space import Choice, IntRange, Space
from nextclick.models.classical.item_table import TableModel
from nextclick.models.classical.repeat_model import REPEATS, RepeatModel, Repeats
from nextclick.models.classical.transitions import transition_table

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress


@dataclass(frozen=True, slots=True)
class MarkovConfig:
    """Parameters of the Markov chain."""

    neighbors: Annotated[
        int, Field(ge=1, description="successors kept for each item, the likeliest")
    ] = 100
    repeats: Repeats = "learned"


class Markov(TableModel):
    """First-order transition probabilities of the last click."""

    name: ClassVar[str] = "markov"
    Config: ClassVar[type[MarkovConfig]] = MarkovConfig
    search_space: ClassVar[Space] = {
        "neighbors": IntRange(20, 1000, log=True),
        "repeats": Choice(*REPEATS),
    }

    @classmethod
    def fit(
        cls, sessions: Sessions, config: MarkovConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Count transitions; deterministic."""
        del seed
        table = transition_table(sessions, np.ones(1), config.neighbors, progress=progress)
        return cls(config, table, RepeatModel.fit(config.repeats, sessions))
