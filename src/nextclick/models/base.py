"""The abstract base class of all models, and the capabilities that a model declares.

Counting models derive from `Model` directly, neural models from `NeuralModel`. Callers do not test
whether a method exists: they read `model.capabilities`, or `Model.capabilities_of(config)` before
a model is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.processes import Processes
    from nextclick.core.search_space import Space
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.tensor_file import Storable
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress, SparseScores
    from nextclick.models.incremental_state import FineTuneSettings, PriorSessions
    from nextclick.models.model_explanation import ModelExplanation
    from nextclick.models.sharding.item_shards import ItemShards

Update: TypeAlias = Literal["none", "exact", "by-block", "fine-tune", "by-member"]
Moment: TypeAlias = Literal["at-click", "while-waiting", "at-target"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do with one config.

    Attributes:
        neural: trained by `nextclick.training.Trainer`; other models implement `fit`.
        composite: combines other trained models; trained by `nextclick.experiments`.
        deterministic: the model does not depend on the seed.
        update: how the model is updated with newer sessions. "exact": `update_exactly` returns the
            model of both logs. "by-block": `advance` adds one block of time at a time, and
            `keep_open` keeps the sessions of a block that is not over; a neural model is also
            trained on each. "fine-tune": training continues from the current
            weights, by `fine_tune` or, for a neural model, by the trainer. "none": the model must
            be retrained.
        needs_sessions: an exact update reads the older sessions.
        explains: `explain` returns an explanation that is not empty.
        attention: the explanation has attention weights of the clicks.
        sparse_scores: `score_sparse` lists only the items whose score depends on the session.
        product_scores: scores are products of a query with a table of items.
        recurrent_step: the encoder reads one click at a time and returns its state.
        earlier_sessions: the number of latest earlier sessions of the visitor that the model reads
            from `SessionBatch.history`; 0 for none.
        first_click: the score of a session without clicks is a prediction of its first click, from
            popularity, the user or the earlier sessions.
        prediction_moment: the moment of prediction that the model is trained for. "at-target" is a
            leak: the time that a visitor stays on an item is unknown before the next click.
    """

    neural: bool = False
    composite: bool = False
    deterministic: bool = False
    update: Update = "none"
    needs_sessions: bool = False
    explains: bool = False
    attention: bool = False
    sparse_scores: bool = False
    product_scores: bool = False
    recurrent_step: bool = False
    earlier_sessions: int = 0
    first_click: bool = False
    prediction_moment: Moment = "at-click"

    @property
    def leaky(self) -> str | None:
        """The input that is unknown at prediction time; None without a leak.

        The evaluation of a leaky model predicts at the time of the target and labels its metrics.
        """
        return "time to the target" if self.prediction_moment == "at-target" else None

    @property
    def trains_on_update(self) -> bool:
        """Whether an update runs training steps."""
        trains_always = self.update in ("fine-tune", "by-member")
        return trains_always or (self.update == "by-block" and self.neural)


class Model(ABC):
    """Abstract base class: scores all items for a session; its state is a set of named arrays.

    A subclass sets `name`, `Config` and, if the defaults do not apply, `default_capabilities`,
    `search_space` and `presets`. It implements `n_items`, `score`, `state` and `from_state`, `fit`
    unless it is neural, and each method that its capabilities require.

    Attributes:
        name: model name, on the command line and in the entry point.
        Config: frozen dataclass of the parameters.
        default_capabilities: capabilities with the default config; see `capabilities_of`.
        search_space: parameter values for hyperparameter search.
        presets: named parameter sets; those of a neural model also set training parameters.
        config: the parameters of this model.
        last_block: the last block of time that is over and in the model, -1 if none ("by-block"
            updates).
        neighbor_pairs: number of active item pairs in the temporal graph, by block of time.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    default_capabilities: ClassVar[Capabilities] = Capabilities()
    search_space: ClassVar[Space] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    config: Any
    last_block: int = -1
    neighbor_pairs: Mapping[int, int] = MappingProxyType({})

    @classmethod
    def capabilities_of(cls, config: Any) -> Capabilities:
        """The capabilities of a model with this config."""
        del config
        return cls.default_capabilities

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this model."""
        return self.capabilities_of(self.config)

    @classmethod
    def requires(cls, config: Any) -> frozenset[str]:
        """Required inputs besides clicks.

        A subset of "times", "users", "blocks", "history" and "features", the features of the items.
        Blocks are blocks of time; a history, the earlier sessions of the visitor, needs users and
        times. See also `Capabilities.earlier_sessions`.
        """
        del config
        return frozenset()

    # training

    @classmethod
    def fit(cls, sessions: Sessions, config: Any, *, seed: int, progress: Progress) -> Self:
        """Train on `sessions`; the same arguments give the same model.

        Raises:
            NotImplementedError: for a neural model; use `nextclick.training.Trainer`.
        """
        del sessions, config, seed, progress
        raise _not_implemented(cls, "fit")

    @abstractmethod
    def state(self) -> dict[str, AnyArray]:
        """All trained parameters as named arrays, the input of `from_state`."""

    def stored_state(self) -> Mapping[str, Storable]:
        """The arrays of `state` as an artifact stores them; a number is an array of one entry."""
        import numpy as np

        return {name: np.ascontiguousarray(array) for name, array in self.state().items()}

    @property
    def shards(self) -> ItemShards | None:
        """The rows in this process of item tables that are split over processes; else None."""
        return None

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build a model from the arrays of `state`."""

    @classmethod
    def check_splittable(cls) -> None:
        """Check that the item tables of the model can be split over processes.

        Raises:
            ConfigError: they cannot.
        """
        raise ConfigError(
            f"the item table of {cls.name} cannot be split over processes; omit --shard-items, or "
            "use asars, cosine-gru, gru4rec, narm, sasrec or stamp"
        )

    @classmethod
    def load_rows(cls, path: Path, config: Any, n_items: int, processes: Processes) -> Self:
        """Load a trained model with the rows of this process only.

        Args:
            path: the stored state, a safetensors file.
            config: the parameters of the model, which passes `check_splittable`.
            n_items: N, the size of the vocabulary.
            processes: all processes that the rows are split over.

        Raises:
            ArrayError: an array is missing, unknown, not finite, or has another type or shape.
        """
        del path, config, n_items, processes
        raise _not_implemented(cls, "load_rows")

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: Any, n_items: int) -> None:
        """Check arrays from a file before `from_state`, in O(n); by default, that all are finite.

        A model whose kernels index with an array overrides it: a compiled kernel does not check
        its indices.

        Args:
            state: the arrays.
            config: the parameters of the model.
            n_items: N, the size of the vocabulary.

        Raises:
            ArrayError: an array is missing, or has another type, shape or range.
        """
        from nextclick.core.array_checks import check_finite

        del config, n_items
        for name, array in state.items():
            check_finite(name, array)

    # scoring

    @property
    @abstractmethod
    def n_items(self) -> int:
        """N, number of items; scores have N + 1 columns."""

    @property
    def n_users(self) -> int | None:
        """U, number of users; users have indices 0..U. None for a model that reads no users."""
        return None

    @property
    def max_length(self) -> int | None:
        """Maximum number of latest clicks that are read; None for all."""
        return None

    @abstractmethod
    def score(self, batch: SessionBatch) -> Float32Array:
        """Score all items: (B, N + 1) float32, finite; column 0 is padding and is ignored.

        A row of `batch` without known items is scored like a session of an unknown visitor. Rows
        are independent of each other.
        """

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """The same scores as `score` in sparse form; requires `Capabilities.sparse_scores`."""
        del batch
        raise _not_implemented(type(self), "score_sparse")

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Explain the scores of `items` in a batch of one session with at least one click.

        The explanation is empty without `Capabilities.explains`.
        """
        from nextclick.models.model_explanation import ModelExplanation

        del batch, items
        return ModelExplanation()

    def item_similarity(self) -> ItemSimilarity | None:
        """The similarities among items with the current parameters, for diverse lists.

        None for a model that represents no item by a vector or by a row of a table.
        """
        return None

    @property
    def scores_are_logarithmic(self) -> bool:
        """Whether a boost of an item by f adds ln f to its score; else it multiplies the score.

        By default dense scores and those of a blend, which are utilities. Sparse scores are counts.
        """
        capabilities = self.capabilities
        return capabilities.composite or not capabilities.sparse_scores

    # incremental updates

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays of `state` with one row per item, which grow with the catalog."""
        return ()

    @property
    def user_arrays(self) -> tuple[str, ...]:
        """The arrays of `state` with one row per user, which grow with the known users."""
        return ()

    def grow_catalog(self, past: PriorSessions, new: Sessions) -> Self:
        """Add rows for new items and renumber the rows of known items.

        Args:
            past: maps the known items to their new indices.
            new: sessions with the new items, in the new indices.
        """
        from nextclick.models.grow_catalog import add_item_rows  # imports compiled kernels

        return add_item_rows(self, past, new)

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model that `fit` would return for the older and the new sessions ("exact")."""
        del new, past, progress
        raise _not_implemented(type(self), "update_exactly")

    def fine_tune(self, new: Sessions, steps: FineTuneSettings, *, progress: Progress) -> Self:
        """Continue training on new sessions ("fine-tune" of a model that is not neural)."""
        del new, steps, progress
        raise _not_implemented(type(self), "fine_tune")

    def advance(self, sessions: Sessions) -> None:
        """End the block of time after `last_block`, in place ("by-block").

        Args:
            sessions: the sessions of the block that `keep_open` has not added.
        """
        del sessions
        raise _not_implemented(type(self), "advance")

    def keep_open(self, sessions: Sessions) -> None:
        """Keep sessions of the block after `last_block`, which is not over ("by-block").

        No score changes until `advance` ends the block.
        """
        del sessions
        raise _not_implemented(type(self), "keep_open")

    def at_block(self, block: int) -> Self:
        """The model that predicts the sessions of a block of time, from the blocks before it.

        A model without "by-block" updates returns itself, and so may one that keeps its current
        history only.
        """
        del block
        return self

    def with_history(self, sessions: Sessions, before: int | None = None) -> Self:
        """A model with the same weights whose history consists of exactly these sessions.

        A model without "by-block" updates has no history and returns itself.

        Args:
            sessions: sorted by last click, with blocks of time.
            before: use only the blocks before this one; None uses all.
        """
        del sessions, before
        return self

    def continue_training(self, older: Sessions | None = None) -> None:
        """Prepare for further training on the blocks after `last_block`.

        Args:
            older: the complete older log, if the training replays sessions of it.
        """
        del older


def _not_implemented(model_type: type[Model], method: str) -> NotImplementedError:
    return NotImplementedError(
        f"{model_type.__name__} has no {method}; implement it, or do not declare the capability"
    )
