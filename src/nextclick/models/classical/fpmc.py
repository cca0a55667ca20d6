"""FPMC: a Markov chain with factorized transition scores.

Rendle, Freudenthaler & Schmidt-Thieme (Factorizing Personalized Markov Chains for Next-Basket
Recommendation, WWW 2010) with baskets of one click, trained by S-BPR: one transition and one
negative per step, see `bpr_sgd`. With i the last click and u the user,

    score(j) = v_i · w_j                    (default, as session-based papers use it)
    score(j) = v_i · w_j + p_u · h_j        (users=true)

v, w are the paper's V^LI, V^IL and p, h its V^UI, V^IU.

An unknown user has row 0 of p. This row is trained on the sessions of unknown users, and on every
transition with probability `user_dropout`, so it represents the average user. A user without
training transitions is assigned row 0, too. There is no bias, as in the paper; with users,
p_0 · h_j has this role. The scores of an empty session are p_u · h_j, and 0 without users.

Deviation: the paper draws negatives from all items outside the next basket. Here no item of the
session is drawn, since visitors may return to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from nextclick.core.array_checks import ArrayError, check_factors
from nextclick.core.item_similarity import vector_similarity
from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.errors import ConfigError
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.bpr_sgd import (
    ItemLists,
    Samples,
    SGDRule,
    Weights,
    train_pairs,
)
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress
    from nextclick.models.incremental_state import FineTuneSettings


@dataclass(frozen=True, slots=True)
class FPMCConfig:
    """Parameters of FPMC."""

    users: Annotated[bool, Field(description="add the preferences of the user, p · h")] = False
    factors: Annotated[int, Field(ge=1, description="width D of each factor table")] = 100
    learning_rate: Annotated[float, Field(gt=0, description="η, step size")] = 0.05
    regularization: Annotated[
        float, Field(ge=0, description="λ, L2 regularization of the factors")
    ] = 0.003
    epochs: Annotated[int, Field(ge=1, description="passes over the transitions")] = 20
    init_std: Annotated[
        float, Field(gt=0, description="standard deviation of the initial factors")
    ] = 0.1
    user_dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="probability that a transition trains the unknown user"),
    ] = 0.1


class FPMC(Model):
    """Factorized transitions from the last click, optionally with the preferences of the user."""

    name: ClassVar[str] = "fpmc"
    Config: ClassVar[type[FPMCConfig]] = FPMCConfig
    default_capabilities: ClassVar[Capabilities] = Capabilities(update="fine-tune", explains=True)
    search_space: ClassVar[Space] = {
        "factors": Choice(32, 64, 100, 200),
        "learning_rate": FloatRange(0.005, 0.3, log=True),
        "regularization": FloatRange(0.0001, 0.1, log=True),
        "epochs": Choice(5, 10, 20, 40),
        "init_std": FloatRange(0.01, 0.5, log=True),
    }

    def __init__(
        self, config: FPMCConfig, last: Float32Array, users: Float32Array, items: Float32Array
    ):
        self.config = config
        self.last = last  # (N + 1, D), v; row 0 is zero
        self.users = users  # (U + 1, D), p; (1, 0) without users
        self.items = items  # (N + 1, D + D'), w and h side by side; row 0 is zero

    @classmethod
    def capabilities_of(cls, config: FPMCConfig) -> Capabilities:
        """The first click, if users are read."""
        return replace(cls.default_capabilities, first_click=config.users)

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.items) - 1

    @property
    def n_users(self) -> int | None:
        """U, None for a model that reads no users."""
        return len(self.users) - 1 if self.config.users else None

    @classmethod
    def requires(cls, config: FPMCConfig) -> frozenset[str]:
        """Users, if `users=true`."""
        return frozenset({"users"} if config.users else ())

    @classmethod
    def fit(cls, sessions: Sessions, config: FPMCConfig, *, seed: int, progress: Progress) -> Self:
        """Take one step per transition and epoch, in the order of (seed, epoch).

        Memory: 8 D bytes per item (12 D with users), 4 D per user, about 50 per click.

        Raises:
            ConfigError: `users=true`, and the log has no user ids.
            TrainingError: a weight is not finite.
        """
        if config.users and (sessions.users is None or sessions.n_users == 0):
            raise ConfigError(
                "fpmc: users=true requires user ids, and this log has none; prepare it with "
                "--user-column, or use users=false"
            )
        weights = _initial_weights(sessions, config, seed)
        samples, lists = _transitions(sessions, config.users)
        rule = SGDRule(
            config.learning_rate,
            config.regularization,
            config.epochs,
            train_bias=False,
            user_dropout=config.user_dropout,
        )
        train_pairs(weights, samples, lists, rule, name=cls.name, seed=seed, progress=progress)
        weights.contexts[0] = 0.0
        weights.items[0] = 0.0
        untrained = np.bincount(samples.users, minlength=len(weights.users)) == 0
        weights.users[untrained] = weights.users[0]
        return cls(config, weights.contexts, weights.users, weights.items)

    def fine_tune(self, new: Sessions, steps: FineTuneSettings, *, progress: Progress) -> Self:
        """Continue training on the transitions of new sessions.

        Raises:
            TrainingError: a weight is not finite.
        """
        config = self.config
        samples, lists = _transitions(new, config.users)
        weights = Weights(
            contexts=self.last.copy(),
            items=self.items.copy(),
            users=self.users.copy(),
            bias=np.zeros(self.n_items + 1, dtype=np.float32),
        )
        rule = SGDRule(
            config.learning_rate * steps.rate,
            config.regularization,
            steps.epochs,
            train_bias=False,
            user_dropout=config.user_dropout,
            minutes=steps.minutes,
        )
        train_pairs(
            weights, samples, lists, rule, name=self.name, seed=steps.seed, progress=progress
        )
        weights.contexts[0] = 0.0
        weights.items[0] = 0.0
        return type(self)(config, weights.contexts, weights.users, weights.items)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        rows = np.arange(len(batch))
        last = np.zeros(len(batch), dtype=np.int64)  # (B,)
        nonempty = batch.lengths > 0
        last[nonempty] = batch.items[rows[nonempty], batch.lengths[nonempty] - 1]
        users = np.zeros_like(last) if batch.users is None else batch.users
        if not self.config.users:
            users = np.zeros_like(last)
        queries = np.concatenate([self.last[last], self.users[users]], axis=1)  # (B, D + D')
        scores: Float32Array = queries @ self.items.T
        return scores

    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the factors w and h of the items."""
        return vector_similarity(self.items)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Contributions of the last click and of the user; earlier clicks are not read."""
        n, D = int(batch.lengths[0]), self.last.shape[1]
        clicks = np.zeros((len(items), n), dtype=np.float32)
        clicks[:, -1] = self.items[items, :D] @ self.last[batch.items[0, n - 1]]
        if not self.config.users:
            return ModelExplanation(parts=ScoreContributions(clicks, {}))
        user = 0 if batch.users is None else int(batch.users[0])
        preference = self.items[items, D:] @ self.users[user]
        return ModelExplanation(parts=ScoreContributions(clicks, {"visitor": preference}))

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays with one row per item."""
        return ("last", "items")

    @property
    def user_arrays(self) -> tuple[str, ...]:
        """The array with one row per user."""
        return ("users",) if self.config.users else ()

    def state(self) -> dict[str, AnyArray]:
        """Factors of last clicks, of users, and of next items."""
        return {"last": self.last, "users": self.users, "items": self.items}

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: FPMCConfig, n_items: int) -> None:
        """Check the shapes of the arrays."""
        super().check_state(state, config, n_items)
        check_factors(state, n_items, tables=("last", "items"))
        check_factors(state, None, tables=("users",))
        last, users, items = (state[name].shape[1] for name in ("last", "users", "items"))
        if last + users != items:
            raise ArrayError(f"items must have {last} + {users} columns, got {items}")

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: FPMCConfig) -> Self:
        """Build the model from the arrays of `state`."""
        return cls(config, state["last"], state["users"], state["items"])


def _initial_weights(sessions: Sessions, config: FPMCConfig, seed: int) -> Weights:
    """Normally distributed factors and a zero bias."""
    rng = np.random.default_rng([seed, 0])

    def normal(n_rows: int, width: int) -> Float32Array:
        table: Float32Array = rng.standard_normal((n_rows, width), dtype=np.float32)
        table *= np.float32(config.init_std)
        return table

    D, n = config.factors, sessions.n_items + 1
    return Weights(
        contexts=normal(n, D),
        items=normal(n, 2 * D if config.users else D),
        users=normal(sessions.n_users + 1 if config.users else 1, D if config.users else 0),
        bias=np.zeros(n, dtype=np.float32),
    )


def _transitions(sessions: Sessions, with_users: bool) -> tuple[Samples, ItemLists]:
    """Pairs of consecutive clicks on known items, and the items of each session."""
    known = np.flatnonzero(sessions.items)  # (J,)
    items = sessions.items[known].astype(np.int32)
    session = np.repeat(np.arange(len(sessions), dtype=np.int32), sessions.lengths())[known]
    target = np.flatnonzero(session[1:] == session[:-1]) + 1
    users = np.zeros(len(target), dtype=np.int32)
    if with_users and sessions.users is not None:
        users = sessions.users[session[target]].astype(np.int32)
    samples = Samples(items[target], items[target - 1], users, session[target])
    return samples, ItemLists.from_clicks(items, session, len(sessions))
