"""The contract of a model: what it declares, what it must implement, and the defaults of the rest.

Every model derives from `Model`: those that count directly, those that PyTorch trains through
`NeuralModel`. A caller never tests whether a method exists; it asks `model.capabilities`, or
`Model.capabilities_of(config)` before there is a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.search_space import Space
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress, SparseScores
    from nextclick.models.explanation import Evidence
    from nextclick.models.incremental_state import FineTuneSteps, PriorSessions

Update: TypeAlias = Literal["none", "exact", "by-block", "fine-tune"]
Moment: TypeAlias = Literal["at-click", "while-waiting", "at-target"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do with one config.

    Attributes:
        neural: trained step by step by `nextclick.training`; a model that is not has a `fit`.
        deterministic: any seed gives the same model.
        update: how it takes in newer sessions. "exact": `extended` gives the model of both logs.
            "by-block": `advance` takes in one block of time after the other; a neural model is
            also trained on each. "fine-tune": training continues from its weights, by `tuned` or,
            for a neural model, by the trainer. "none": it has to be trained anew.
        needs_sessions: an exact update needs the older sessions themselves.
        explains: `explained` says more than that there is nothing to say.
        attention: among that are weights of the session's clicks.
        sparse_scores: `score_sparse` lists the few items whose score depends on the session.
        product_scores: scores are products of a query with a table of items.
        recurrent_step: its encoder reads one click at a time and hands its state on.
        prediction_moment: the moment of prediction the model is trained for. "at-target" is a leak:
            how long a visitor stays on an item is known only when the next click comes.
    """

    neural: bool = False
    deterministic: bool = False
    update: Update = "none"
    needs_sessions: bool = False
    explains: bool = False
    attention: bool = False
    sparse_scores: bool = False
    product_scores: bool = False
    recurrent_step: bool = False
    prediction_moment: Moment = "at-click"

    @property
    def leaky(self) -> str | None:
        """What the model reads that is unknown when a prediction is made; None if nothing is.

        An evaluation then predicts at the moment of the target, and labels every metric.
        """
        return "time to the target" if self.prediction_moment == "at-target" else None

    @property
    def trains_on_update(self) -> bool:
        """Whether an update takes training steps."""
        return self.update == "fine-tune" or (self.update == "by-block" and self.neural)


class Model(ABC):
    """A scorer that learns from sessions and is stored as named arrays.

    A subclass sets `name`, `Config` and, where the defaults do not hold, `default_capabilities`,
    `search_space` and `presets`. It implements `n_items`, `score`, `state`, `from_state`, unless it
    is neural `fit`, and each method that its capabilities promise.

    Attributes:
        name: the name on the command line and of its entry point.
        Config: the frozen dataclass of its parameters.
        default_capabilities: those of the default config; see `capabilities_of`.
        search_space: the values of its parameters that are worth trying.
        presets: named sets of parameters, of a neural model also of its training.
        config: the parameters it was trained with.
        last_block: the last block of time it has taken in, -1 if none ("by-block" updates).
        edges_alive: block of time to how many pairs of items its temporal graph links for it.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    default_capabilities: ClassVar[Capabilities] = Capabilities()
    search_space: ClassVar[Space] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    config: Any
    last_block: int = -1
    edges_alive: Mapping[int, int] = MappingProxyType({})

    @classmethod
    def capabilities_of(cls, config: Any) -> Capabilities:
        """What the model can do with a config."""
        del config
        return cls.default_capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What this model can do."""
        return self.capabilities_of(self.config)

    @classmethod
    def requires(cls, config: Any) -> frozenset[str]:
        """What it reads of a log besides the clicks: of "times", "users" and "blocks" of time."""
        del config
        return frozenset()

    # learning

    @classmethod
    def fit(cls, sessions: Sessions, config: Any, *, seed: int, progress: Progress) -> Self:
        """Learn from `sessions`; the same arguments give the same model.

        Raises:
            NotImplementedError: a neural model, which `nextclick.training.Trainer` trains.
        """
        del sessions, config, seed, progress
        raise _missing(cls, "fit")

    @abstractmethod
    def state(self) -> dict[str, AnyArray]:
        """Everything learned, as arrays; `from_state` of it scores the same."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model that gave `state`."""

    # scoring

    @property
    @abstractmethod
    def n_items(self) -> int:
        """N; scores have N + 1 columns."""

    @property
    def max_length(self) -> int | None:
        """How many of the latest clicks it reads; None for all."""
        return None

    @abstractmethod
    def score(self, batch: SessionBatch) -> Float32Array:
        """Return (B, N + 1) float32, finite; column 0 is padding and means nothing.

        A row of `batch` may be empty (no known item); the model then scores as for a visitor of
        whom nothing is known. Rows do not influence each other.
        """

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """The scores of `score`, in sparse form; see `Capabilities.sparse_scores`."""
        del batch
        raise _missing(type(self), "score_sparse")

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """Why `items` score as they do in the one session of `batch`, which has a click.

        Empty for a model without `Capabilities.explains`.
        """
        from nextclick.models.explanation import Evidence

        del batch, items
        return Evidence()

    # incremental updates

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays of `state` with a row for each item: those that grow with the catalog."""
        return ()

    def grow_catalog(self, past: PriorSessions, new: Sessions) -> Self:
        """The model in the indices of `past`, with a row for each item it did not know.

        Args:
            past: maps the items it knows to their new indices.
            new: the sessions with the new items, in the indices of `past`.
        """
        from nextclick.models.grow_catalog import with_new_rows  # imports compiled kernels

        return with_new_rows(self, past, new)

    def extended(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model of both logs, as if fitted on both at once (an "exact" update)."""
        del new, past, progress
        raise _missing(type(self), "extended")

    def tuned(self, new: Sessions, steps: FineTuneSteps, *, progress: Progress) -> Self:
        """Continue training from its weights on new sessions (a "fine-tune" without a trainer)."""
        del new, steps, progress
        raise _missing(type(self), "tuned")

    def advance(self, sessions: Sessions) -> None:
        """Take in the next block of time, in place (a "by-block" update)."""
        del sessions
        raise _missing(type(self), "advance")

    def with_history(self, sessions: Sessions, before: int | None = None) -> Self:
        """The same weights with what these sessions, and no others, add to them.

        Of a model without "by-block" updates: itself.

        Args:
            sessions: in the order of their last click, with blocks of time.
            before: only the blocks before this one; None is all.
        """
        del sessions, before
        return self

    def continue_training(self, older: Sessions | None = None) -> None:
        """Let the next training be of the blocks after `last_block`, instead of starting anew.

        Args:
            older: the whole older log, if that training replays sessions of it.
        """
        del older


def _missing(model_type: type[Model], method: str) -> NotImplementedError:
    return NotImplementedError(
        f"{model_type.__name__} has no {method}; implement it, or do not declare the capability"
    )
