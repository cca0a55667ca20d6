"""BPR-MF: matrix factorization trained by pairwise ranking of items.

Rendle et al. (BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009) with matrix
factorization, in the form in which Hidasi et al. (Session-based Recommendations with Recurrent
Neural Networks, ICLR 2016, section 4) use it as a baseline. See `bpr_sgd` for the updates. With q
the factors and b the bias of items, and x_1 … x_t the clicks of the session,

    score(j) = p · q_j + b_j,    p = mean of q over x_1 … x_t, repeats included

`of=session`: each training session has its own factors p, which are discarded after training.
`of=user`: each user has factors p; a session of an unknown user has its own. A user with training
clicks is scored with these p, any other user with the mean.

An empty session of an unknown user has p = 0, so its scores are the bias.

The BPR-MF of NARM's table is `of=session`, that of ASARS's table `of=user`, because ASARS leaves it
out on logs without users.

Deviations from the published code: it has a bias and never trains it, which is the default here as
well (`bias=true` trains it). It draws negatives from the first N clicks of its log, in proportion
to their popularity and including items of the session (`negatives=first-clicks`); by default they
are drawn uniformly from the items that the session (or user) never clicked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nextclick.core.array_checks import check_factors
from nextclick.core.item_similarity import vector_similarity
from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.errors import ConfigError
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.bpr_sgd import (
    ItemLists,
    Samples,
    SGDRule,
    Weights,
    mean_of_clicks,
    train_pairs,
    uniform_factors,
)
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array, Progress
    from nextclick.models.incremental_state import FineTuneSettings


@dataclass(frozen=True, slots=True)
class BPRMFConfig:
    """Parameters of BPR-MF."""

    of: Annotated[
        Literal["session", "user"],
        Field(description="whether sessions or users have factors in training"),
    ] = "session"
    factors: Annotated[int, Field(ge=1, description="width D of the factors")] = 100
    learning_rate: Annotated[float, Field(gt=0, description="η, step size")] = 0.01
    regularization: Annotated[
        float, Field(ge=0, description="λ, L2 regularization of factors and bias")
    ] = 0.0
    epochs: Annotated[int, Field(ge=1, description="passes over the clicks")] = 10
    bias: Annotated[bool, Field(description="train a bias per item")] = False
    init_range: Annotated[
        float, Field(gt=0, description="factors are initialized uniformly in ± this")
    ] = 0.05
    negatives: Annotated[
        Literal["unclicked", "first-clicks"],
        Field(
            description="a negative is an item that the session or user never clicked, or one of "
            "the first N clicks of the log, as in the published code"
        ),
    ] = "unclicked"


class BPRMF(Model):
    """Products of item factors with the mean of the session, or with the factors of the user."""

    name: ClassVar[str] = "bpr-mf"
    Config: ClassVar[type[BPRMFConfig]] = BPRMFConfig
    default_capabilities: ClassVar[Capabilities] = Capabilities(update="fine-tune", explains=True)
    search_space: ClassVar[Space] = {
        "factors": Choice(32, 64, 100, 200),
        "learning_rate": FloatRange(0.003, 0.3, log=True),
        "regularization": Choice(0.0, 0.0001, 0.001, 0.01, 0.1),
        "epochs": Choice(5, 10, 20, 40),
        "bias": Choice(False, True),
        "init_range": FloatRange(0.005, 0.5, log=True),
    }

    def __init__(
        self, config: BPRMFConfig, items: Float32Array, bias: Float32Array, users: Float32Array
    ):
        self.config = config
        self.items = items  # (N + 1, D), row 0 is zero
        self.bias = bias  # (N + 1,)
        self.users = users  # (U + 1, D), zero for a user without clicks; (1, D) with of=session
        self._known: BoolArray = np.any(users != 0, axis=1)  # (U + 1,)

    @classmethod
    def capabilities_of(cls, config: BPRMFConfig) -> Capabilities:
        """The first click, with factors of users."""
        return replace(cls.default_capabilities, first_click=config.of == "user")

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.bias) - 1

    @property
    def n_users(self) -> int | None:
        """U, None for a model that reads no users."""
        return len(self.users) - 1 if self.config.of == "user" else None

    @classmethod
    def requires(cls, config: BPRMFConfig) -> frozenset[str]:
        """Users, if `of=user`."""
        return frozenset({"users"} if config.of == "user" else ())

    @classmethod
    def fit(cls, sessions: Sessions, config: BPRMFConfig, *, seed: int, progress: Progress) -> Self:
        """Take one step per click and epoch, in the order of (seed, epoch).

        Memory: 4 D bytes per item and per session (or user), about 50 per click.

        Raises:
            ConfigError: `of=user`, and the log has no user ids.
            TrainingError: a weight is not finite.
        """
        samples, lists, n_users = _samples(sessions, config)
        rng = np.random.default_rng([seed, 0])
        weights = Weights(
            items=uniform_factors(rng, sessions.n_items + 1, config.factors, config.init_range),
            contexts=uniform_factors(
                rng, len(lists.offsets) - 1, config.factors, config.init_range
            ),
            users=np.zeros((1, 0), dtype=np.float32),
            bias=np.zeros(sessions.n_items + 1, dtype=np.float32),
        )
        rule = SGDRule(
            config.learning_rate,
            config.regularization,
            config.epochs,
            config.bias,
            pool=_pool(sessions, config),
        )
        train_pairs(weights, samples, lists, rule, name=cls.name, seed=seed, progress=progress)
        users = _known_users(weights, samples, n_users)
        weights.items[0] = 0.0
        return cls(config, weights.items, weights.bias, users)

    def fine_tune(self, new: Sessions, steps: FineTuneSettings, *, progress: Progress) -> Self:
        """Continue training on new sessions.

        The factors of a new session start at the mean of its clicks. Those of a user start at the
        current factors, or for a new user at the mean of the clicks.

        Raises:
            TrainingError: a weight is not finite.
        """
        config = self.config
        samples, lists, n_users = _samples(new, config)
        items = self.items.copy()
        contexts = _means(items, samples, len(lists.offsets) - 1)
        known = np.flatnonzero(self._known)
        contexts[known] = self.users[known]
        weights = Weights(contexts, np.zeros((1, 0), dtype=np.float32), items, self.bias.copy())
        rule = SGDRule(
            config.learning_rate * steps.rate,
            config.regularization,
            steps.epochs,
            config.bias,
            minutes=steps.minutes,
            pool=_pool(new, config),
        )
        train_pairs(
            weights, samples, lists, rule, name=self.name, seed=steps.seed, progress=progress
        )
        users = _known_users(weights, samples, n_users)
        users[known] = weights.contexts[known]
        items[0] = 0.0
        return type(self)(config, items, weights.bias, users)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        queries = mean_of_clicks(batch.items, batch.lengths, self.items)  # (B, D)
        if batch.users is not None and len(self.users) > 1:
            known = self._known[batch.users]  # (B,)
            queries[known] = self.users[batch.users[known]]
        scores: Float32Array = queries @ self.items.T + self.bias
        return scores

    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the factors of the items."""
        return vector_similarity(self.items)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Contributions of each click (or of the user), and of the bias."""
        factors, user = self.items[items], 0 if batch.users is None else int(batch.users[0])
        clicked = self.items[batch.items[0, : batch.lengths[0]]]  # (n, D)
        clicks = factors @ clicked.T / np.float32(len(clicked))  # (K, n)
        rest = {"bias": self.bias[items]} if self.config.bias else {}
        if len(self.users) > 1 and self._known[user]:
            clicks, rest["visitor"] = np.zeros_like(clicks), factors @ self.users[user]
        return ModelExplanation(parts=ScoreContributions(clicks, rest))

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays with one row per item."""
        return ("items", "bias")

    @property
    def user_arrays(self) -> tuple[str, ...]:
        """The array with one row per user."""
        return ("users",) if self.config.of == "user" else ()

    def state(self) -> dict[str, AnyArray]:
        """Factors of items and users, and the bias."""
        return {"items": self.items, "bias": self.bias, "users": self.users}

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: BPRMFConfig, n_items: int) -> None:
        """Check the shapes of the arrays."""
        super().check_state(state, config, n_items)
        check_factors(state, n_items, rows=("bias",), tables=("items",))
        width = state["items"].shape[1]
        check_factors(state, None, tables=("users",), width=width)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: BPRMFConfig) -> Self:
        """Build the model from the arrays of `state`."""
        return cls(config, state["items"], state["bias"], state["users"])


def _samples(sessions: Sessions, config: BPRMFConfig) -> tuple[Samples, ItemLists, int]:
    """A sample per click on a known item, the items of each owner, and the number of users U."""
    n_users = sessions.n_users if config.of == "user" else 0
    owner_of_session = _owners(sessions, config.of)  # (S,)
    known = sessions.items > 0  # (E,)
    items = sessions.items[known]
    owners = np.repeat(owner_of_session, sessions.lengths())[known]
    n_owners = int(owner_of_session.max(initial=n_users)) + 1
    lists = ItemLists.from_clicks(items, owners, n_owners)
    return Samples(items, owners, np.zeros_like(owners), owners), lists, n_users


def _pool(sessions: Sessions, config: BPRMFConfig) -> Int32Array | None:
    """The items that negatives are drawn from; see `SGDRule.pool`."""
    if config.negatives == "unclicked":
        return None
    known: Int32Array = sessions.items[sessions.items > 0][: sessions.n_items]
    return known


def _known_users(weights: Weights, samples: Samples, n_users: int) -> Float32Array:
    """(U + 1, D) factors of the users with clicks, 0 for all others."""
    users = weights.contexts[: n_users + 1].copy()
    clicks = np.bincount(samples.owners, minlength=n_users + 1)[: n_users + 1]
    users[clicks == 0] = 0.0
    users[0] = 0.0
    return users


def _means(items: Float32Array, samples: Samples, n_owners: int) -> Float32Array:
    """(n_owners, D) mean factors of the clicks of each owner; 0 without clicks."""
    sums = np.zeros((n_owners, items.shape[1]), dtype=np.float32)
    np.add.at(sums, samples.owners, items[samples.items])
    clicks = np.bincount(samples.owners, minlength=n_owners)
    means: Float32Array = sums / np.maximum(clicks, 1).astype(np.float32)[:, None]
    return means


def _owners(sessions: Sessions, of: Literal["session", "user"]) -> Int32Array:
    """(S,) row of the factors that each session trains: its own, or that of its user in 1..U.

    A session of an unknown user has its own row, after those of the U users.
    """
    own = np.arange(len(sessions), dtype=np.int32)
    if of == "session":
        return own
    if sessions.users is None or sessions.n_users == 0:
        raise ConfigError(
            "bpr-mf: of=user requires user ids, and this log has none; prepare it with "
            "--user-column, or use of=session"
        )
    return np.where(sessions.users > 0, sessions.users, own + np.int32(sessions.n_users + 1))
