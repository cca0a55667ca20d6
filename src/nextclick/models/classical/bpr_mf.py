"""BPR-MF: factors of items and of who clicked them, learned from pairs of items.

Rendle et al. (BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009) with matrix
factorization, in the form in which Hidasi et al. (Session-based Recommendations with Recurrent
Neural Networks, ICLR 2016, section 4) made it a baseline. `bpr_sgd` has the steps. With q the
factors and b the bias of items, and x_1 … x_t the clicks of the session,

    score(j) = p · q_j + b_j,    p = mean of q over x_1 … x_t, repeats included

`of=session`: in training every session has factors p of its own. They are dropped after it, since
no later session is one of them. `of=user`: p are a visitor's, and a session's where nobody knows
the visitor. One whom training knows is served with that p, everybody else with the mean.

An empty session of no known visitor has p = 0 and gets the bias alone.

Against the code that the authors published: theirs never learns the bias, which is the default
here, too (`bias=true` learns it). It draws negatives among the clicks at the front of its log,
popular items more often and those of the session as well; here all items that the session (or the
visitor) never clicked are drawn alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

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
from nextclick.models.explanation import Evidence, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array, Progress
    from nextclick.models.incremental_state import FineTuneSteps


@dataclass(frozen=True, slots=True)
class BPRMFConfig:
    """Parameters of BPR-MF."""

    of: Annotated[
        Literal["session", "user"],
        Field(description="who has factors in training: each session, or each visitor"),
    ] = "session"
    factors: Annotated[int, Field(ge=1, description="width D of the factors")] = 100
    learning_rate: Annotated[float, Field(gt=0, description="η, size of a step")] = 0.01
    regularization: Annotated[
        float, Field(ge=0, description="λ, pulls all factors and the bias to 0")
    ] = 0.0
    epochs: Annotated[int, Field(ge=1, description="passes over the clicks")] = 10
    bias: Annotated[bool, Field(description="learn a bias of each item")] = False
    init_range: Annotated[float, Field(gt=0, description="factors begin uniformly in ± this")] = (
        0.05
    )


class BPRMF(Model):
    """The mean factors of the session's clicks, or the visitor's, against those of every item."""

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
        self.users = users  # (U + 1, D), a row of zeros has no clicks; (1, D) of of=session
        self._known: BoolArray = np.any(users != 0, axis=1)  # (U + 1,)

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.bias) - 1

    @classmethod
    def requires(cls, config: BPRMFConfig) -> frozenset[str]:
        """What it reads besides the clicks."""
        return frozenset({"users"} if config.of == "user" else ())

    @classmethod
    def fit(cls, sessions: Sessions, config: BPRMFConfig, *, seed: int, progress: Progress) -> Self:
        """Take one step a click and epoch, in the order of (seed, epoch).

        Memory: 4 D bytes for each item and each session (or visitor), about 50 for each click.

        Raises:
            ConfigError: `of=user`, and the log names no visitors.
            TrainingError: a weight is not finite any more.
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
        rule = SGDRule(config.learning_rate, config.regularization, config.epochs, config.bias)
        train_pairs(weights, samples, lists, rule, name=cls.name, seed=seed, progress=progress)
        users = _known_users(weights, samples, n_users)
        weights.items[0] = 0.0
        return cls(config, weights.items, weights.bias, users)

    def tuned(self, new: Sessions, steps: FineTuneSteps, *, progress: Progress) -> Self:
        """Go on from these factors with new sessions.

        A new session begins at the mean of its clicks, as it is served; a visitor at his factors,
        or where he has none, so.

        Raises:
            TrainingError: a weight is not finite any more.
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

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """What the mean takes from each click, or the visitor's factors alone; and the bias."""
        factors, user = self.items[items], 0 if batch.users is None else int(batch.users[0])
        clicked = self.items[batch.items[0, : batch.lengths[0]]]  # (n, D)
        clicks = factors @ clicked.T / np.float32(len(clicked))  # (K, n)
        rest = {"bias": self.bias[items]} if self.config.bias else {}
        if len(self.users) > 1 and self._known[user]:
            clicks, rest["visitor"] = np.zeros_like(clicks), factors @ self.users[user]
        return Evidence(parts=Parts(clicks, rest))

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays with a row for each item."""
        return ("items", "bias")

    def state(self) -> dict[str, AnyArray]:
        """Factors of items and visitors, and the bias."""
        return {"items": self.items, "bias": self.bias, "users": self.users}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: BPRMFConfig) -> Self:
        """Build the model that gave `state`."""
        return cls(config, state["items"], state["bias"], state["users"])


def _samples(sessions: Sessions, config: BPRMFConfig) -> tuple[Samples, ItemLists, int]:
    """A sample for each click on a known item, the items of each owner, and the visitors U."""
    n_users = sessions.n_users if config.of == "user" else 0
    owner = _owners(sessions, config.of)  # (S,)
    known = sessions.items > 0  # (E,)
    items = sessions.items[known]
    owners = np.repeat(owner, sessions.lengths())[known]
    n_owners = int(owner.max(initial=n_users)) + 1
    lists = ItemLists.of(items, owners, n_owners)
    return Samples(items, owners, np.zeros_like(owners), owners), lists, n_users


def _known_users(weights: Weights, samples: Samples, n_users: int) -> Float32Array:
    """(U + 1, D) the factors of visitors with clicks, 0 for everybody else."""
    users = weights.contexts[: n_users + 1].copy()
    clicks = np.bincount(samples.owners, minlength=n_users + 1)[: n_users + 1]
    users[clicks == 0] = 0.0
    users[0] = 0.0
    return users


def _means(items: Float32Array, samples: Samples, n_owners: int) -> Float32Array:
    """(n_owners, D) mean factors of the clicks of each owner, 0 without clicks."""
    sums = np.zeros((n_owners, items.shape[1]), dtype=np.float32)
    np.add.at(sums, samples.owners, items[samples.items])
    clicks = np.bincount(samples.owners, minlength=n_owners)
    means: Float32Array = sums / np.maximum(clicks, 1).astype(np.float32)[:, None]
    return means


def _owners(sessions: Sessions, of: Literal["session", "user"]) -> Int32Array:
    """(S,) whose factors each session learns: its own, or its visitor's in 1..U.

    A session of an unknown visitor has its own, behind those of the U visitors.
    """
    own = np.arange(len(sessions), dtype=np.int32)
    if of == "session":
        return own
    if sessions.users is None or sessions.n_users == 0:
        raise ConfigError(
            "bpr-mf: of=user needs to know whose the sessions are, and this log names no "
            "visitors; prepare it with --user-column, or leave of=session"
        )
    return np.where(sessions.users > 0, sessions.users, own + np.int32(sessions.n_users + 1))
