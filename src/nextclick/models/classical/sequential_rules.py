"""Sequential rules: items clicked a few steps after the last clicked item in training.

SR in Ludewig & Jannach (Evaluation of Session-based Recommendation Algorithms, UMUAI 2018,
section 3.1). With i the last click, over all pairs of clicks (i at position x, j at position y > x)
of a training session with y - x <= steps:

    score(j) = Σ w(y - x) / number of pairs that start at i

Deviations: as in the code of the paper, but not in its text, the number of steps and the number of
rules per item are limited. The paper divides by a sum over positions of i. Either divisor depends
on i alone and changes no ranking; with ours the score is an average weight, in 0..1 except for
w = log. As in the Markov chain, an item may follow itself.
Items of the session are scored by the repeat model (see `repeat_model`); `repeats="keep"` is the
published form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from nextclick.core.search_space import Choice, IntRange, Space
from nextclick.models.classical.item_table import TableModel
from nextclick.models.classical.position_weights import CODES, Weighting, step_weight
from nextclick.models.classical.repeat_model import REPEATS, RepeatModel, Repeats
from nextclick.models.classical.transitions import transition_table

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress


@dataclass(frozen=True, slots=True)
class SequentialRulesConfig:
    """Parameters of the sequential rules."""

    steps: Annotated[
        int, Field(ge=1, le=1000, description="maximum distance of the two clicks of a rule")
    ] = 10
    weighting: Annotated[
        Weighting, Field(description="how the weight of a rule decreases with the distance")
    ] = "div"
    neighbors: Annotated[int, Field(ge=1, description="rules stored per item, by weight")] = 100
    repeats: Repeats = "learned"


class SequentialRules(TableModel):
    """Weighted rules "j within a few clicks after i" for the last click i."""

    name: ClassVar[str] = "rules"
    Config: ClassVar[type[SequentialRulesConfig]] = SequentialRulesConfig
    search_space: ClassVar[Space] = {
        "steps": IntRange(1, 30, log=True),
        "weighting": Choice(*CODES),
        "neighbors": IntRange(20, 1000, log=True),
        "repeats": Choice(*REPEATS),
    }

    @classmethod
    def fit(
        cls, sessions: Sessions, config: SequentialRulesConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Count rules; deterministic."""
        del seed
        code = CODES[config.weighting]
        weights = np.array([step_weight(code, step) for step in range(1, config.steps + 1)])
        weights = weights[weights > 0]  # linear is 0 from the tenth step on
        table = transition_table(sessions, weights, config.neighbors, progress=progress)
        return cls(config, table, RepeatModel.fit(config.repeats, sessions))
