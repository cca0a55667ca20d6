"""Base class of neural models: a scorer around an encoder with one query per prefix.

Every score is a product: queries (P, D) times a table of items (N + 1, D), plus a bias. Bilinear,
tied, separate and fully connected decoders differ only in the table, so losses, negative sampling
and ranking are shared by all models.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from nextclick.core.array_checks import ArrayError, check_length, named_array
from nextclick.core.item_similarity import vector_similarity
from nextclick.models.base import Capabilities, Model
from nextclick.models.dataset_info import NO_DATASET_INFO, DatasetInfo
from nextclick.models.features.feature_options import feature_names
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.features.item_features import ItemFeatures, feature_columns
from nextclick.models.model_explanation import recording
from nextclick.models.ops.earlier_sessions import history_inputs
from nextclick.models.ops.session_inputs import SessionInputs, to_tensor
from nextclick.models.ops.torch_threads import threads_for, use_torch_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.item_table import ItemTable
    from nextclick.core.processes import Processes
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.session_history import SessionHistory
    from nextclick.core.sessions import Sessions
    from nextclick.core.tensor_file import Storable
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array
    from nextclick.models.encoder import Encoder, Task
    from nextclick.models.incremental_state import PriorSessions
    from nextclick.models.model_explanation import ModelExplanation
    from nextclick.models.ops.prefix_inputs import TensorRecord
    from nextclick.models.sharding.item_shards import ItemShards

NEURAL = Capabilities(neural=True, update="fine-tune", product_scores=True)
"""The capabilities of a neural model without attention."""

ATTENTIVE = replace(NEURAL, explains=True, attention=True)
"""The capabilities of a neural model whose encoder records its attention weights."""

# requirements that need a `DatasetInfo`
_NEEDS_DATASET_INFO = frozenset({"times", "users", "features"})


class NeuralModel(Model):
    """A scorer around an encoder; a subclass declares its config and its encoder.

    The config has a field `max_length`, the number of latest clicks that the encoder reads. The
    encoder of a model with the capability `first_click` reads an item 0 before the clicks, whose
    query predicts the first click.

    Attributes:
        encoder_type: builds the encoder from (config, n_items), and a `DatasetInfo` if the model
            requires times or users. Initial weights come from torch's global generator.
        shards_items: whether the rows of the item tables can be split over processes: the encoder
            only reads the rows of items, and compares items with each other and with 0.
        encoder: the encoder.
    """

    default_capabilities: ClassVar[Capabilities] = NEURAL
    encoder_type: ClassVar[Callable[..., Encoder]]
    shards_items: ClassVar[bool] = False
    encoder: Encoder

    def __init__(self, config: Any, n_items: int, dataset_info: DatasetInfo = NO_DATASET_INFO):
        self.config = config
        self._n_items = n_items
        seen_users = dataset_info.seen_users
        self._n_users = None if seen_users is None else len(seen_users) - 1
        self.features = dataset_info.features
        arguments = (dataset_info,) if self.requires(config) & _NEEDS_DATASET_INFO else ()
        self.encoder = type(self).encoder_type(config, n_items, *arguments)

    @classmethod
    def requires(cls, config: Any) -> frozenset[str]:
        """See `Model.requires`; "features" if the config names any."""
        return frozenset({"features"} if feature_names(config) else ())

    @classmethod
    def for_log(cls, config: Any, sessions: Sessions) -> Any:
        """The config with a fixed value for each parameter that depends on the log, such as `auto`.

        A trained model has this config, so that nothing depends on the log once it is trained.

        Args:
            config: the parameters.
            sessions: the sessions that every training on the log sees: those before the validation.
        """
        del sessions
        return config

    @classmethod
    def dataset_info(
        cls, config: Any, sessions: Sessions, item_table: ItemTable | None = None
    ) -> DatasetInfo:
        """What an encoder with this config needs to know of its training sessions.

        Args:
            config: the parameters.
            sessions: the training sessions.
            item_table: features of the items, for a config with features.

        Raises:
            ConfigError: the config names features that the table lacks.
        """
        info = DatasetInfo.from_sessions(sessions, cls.requires(config))
        return info.with_features(config, sessions, item_table)

    @property
    def n_items(self) -> int:
        """N."""
        return self._n_items

    @property
    def n_users(self) -> int | None:
        """U, None for a model that reads no users."""
        return self._n_users

    @property
    def shards(self) -> ItemShards | None:
        """See `Model.shards`."""
        return self.encoder.shards

    @property
    def max_length(self) -> int | None:
        """The number of latest clicks that the encoder reads; None for all."""
        max_length: int | None = self.config.max_length
        return max_length

    @torch.inference_mode()
    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32 scores; all scores of an empty session are 0 without `first_click`.

        Raises:
            ConfigError: the item table is split over processes.
        """
        if self.shards is not None:
            raise self.shards.needs_all_rows()
        scores = np.zeros((len(batch), self.n_items + 1), dtype=np.float32)
        rows = np.flatnonzero((batch.lengths > 0) | self.capabilities.first_click)
        if len(rows):
            self.encoder.eval()  # before `table`, which may depend on the mode
            table, bias = self.encoder.table()
            with use_torch_threads(threads_for(len(rows) * table.numel())):
                queries, inputs = self.queries_of(batch, rows)
                logits = queries @ table.T if bias is None else torch.addmm(bias, queries, table.T)
                prefixes = torch.arange(len(rows), device=logits.device)
                additions = self.encoder.additions(queries, prefixes, inputs)
                if additions is not None:
                    logits[additions.rows, additions.items] += additions.values
                scores[rows] = logits.float().cpu().numpy()
        return scores

    @torch.inference_mode()
    def queries(self, batch: SessionBatch) -> Float32Array:
        """(B, D) float32 queries, for a search over the table of items.

        Args:
            batch: B sessions, each with at least one click unless the model has the capability
                `first_click`.
        """
        queries: Float32Array = (
            self.queries_of(batch, np.arange(len(batch)))[0].float().cpu().numpy()
        )
        return queries

    @torch.inference_mode()
    def item_vectors(self) -> tuple[Float32Array, Float32Array | None]:
        """(N + 1, D) item vectors that queries are multiplied with, and (N + 1,) bias or None."""
        table, bias = self.encoder.eval().table()
        vectors: Float32Array = table.float().cpu().contiguous().numpy()
        return vectors, None if bias is None else bias.float().cpu().contiguous().numpy()

    def queries_of(
        self, batch: SessionBatch, rows: AnyArray
    ) -> tuple[Tensor, dict[str, Tensor | TensorRecord]]:
        """(R, D) queries of R rows of a batch, and the inputs of the encoder besides the clicks.

        With a split item table, all processes call it together, each with rows of its own.
        """
        encoder = self.encoder.eval()
        items, last, inputs = self._encoder_inputs(batch, rows)
        if encoder.shards is None:
            queries: Tensor = encoder(items, **inputs)  # (R, T, D)
        else:
            with encoder.shards.rows_of(inputs, items) as (numbered, (numbers,)):
                queries = encoder(numbers, **numbered)
        return queries[torch.arange(len(rows)), last], inputs

    @torch.inference_mode()
    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the item vectors that queries are multiplied with."""
        return vector_similarity(self.item_vectors()[0])

    @torch.inference_mode()
    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """The attention weights of the encoder over the clicks of one session."""
        del items
        with recording() as evidence:
            self.queries_of(batch, np.arange(1))
        first = 0
        if self.max_length is not None:
            first = max(int(batch.lengths[0]) - self.max_length, 0)
        evidence.attention = [
            replace(layer, clicks=layer.clicks + first) for layer in evidence.attention
        ]
        return evidence

    def _encoder_inputs(
        self, batch: SessionBatch, rows: AnyArray
    ) -> tuple[Tensor, Tensor, dict[str, Tensor | TensorRecord]]:
        """The latest clicks (R, T) of R rows, the last position (R,), and the other inputs."""
        device = next(self.encoder.parameters()).device
        read = SessionInputs.of(
            batch,
            rows,
            max_length=self.max_length,
            reads=self.requires(self.config),
            earlier_sessions=self.capabilities.earlier_sessions,
        )
        if self.capabilities.first_click:
            read = read.with_start()
        inputs: dict[str, Tensor | TensorRecord] = {
            name: to_tensor(array).to(device) for name, array in read.arrays.items()
        }
        if read.history is not None:
            inputs["history"] = self.history_inputs(read.history).to(device)
        prefixes = self.prepare_prefixes(read.items, read.cells, None)
        if prefixes is not None:
            inputs["prefixes"] = prefixes.to(device)
        items, last = torch.from_numpy(read.items), torch.from_numpy(read.last)
        return items.to(device), last.to(device), inputs

    def history_inputs(self, history: SessionHistory) -> TensorRecord:
        """The input `history` of the encoder, for `Capabilities.earlier_sessions` above 0."""
        return history_inputs(history)

    @property
    def history_dropout(self) -> float:
        """The share of training rows whose history is hidden, as of an anonymous visitor."""
        return 0.0

    def setup(self, sessions: Sessions) -> None:
        """Prepare for training on sessions, for example build graphs of them.

        A model with features computes its item vectors from them until `teardown`.
        """
        del sessions
        if self.features is not None and self.features.rows is not None:
            for items in self._item_embeddings():
                items.begin_training(self.features)

    def teardown(self) -> None:
        """Free what only training needs; item vectors then contain their features."""
        if self.features is None or self.features.clicked is None:
            return
        for items in self._item_embeddings():
            items.end_training()
        _, bias = self.encoder.table()
        if bias is not None:  # items without a click have the mean bias
            clicked = torch.from_numpy(self.features.clicked)
            bias.data[~clicked] = bias.data[clicked].mean()
            bias.data[0] = 0.0

    def loaded(self) -> None:
        """Prepare for scoring, once the weights are those of a trained model."""

    def grow_catalog(self, past: PriorSessions, new: Sessions) -> Self:
        """See `Model.grow_catalog`; with a newer item table, new items begin with their features.

        Raises:
            ConfigError: the item table lacks a column that the model reads.
        """
        if self.features is None or past.item_table is None:
            return super().grow_catalog(past, new)
        from nextclick.models.grow_catalog import add_item_rows  # imports compiled kernels

        columns = feature_columns(self.config, past.item_table)
        clicked = (past.support + new.support()) > 0
        features = self.features.of_items(columns, clicked)
        grown = add_item_rows(self, past, new, self.vectors_of_features(features))
        grown.features = features
        return grown

    @torch.no_grad()
    def vectors_of_features(self, features: ItemFeatures) -> dict[str, AnyArray]:
        """Name of an item table to (N + 1, D), the part of its rows that follows from features."""
        return {
            f"{name}.weight": module.vectors_of_features(features).cpu().numpy()
            for name, module in self.encoder.named_modules()
            if isinstance(module, ItemEmbedding)
        }

    def _item_embeddings(self) -> list[ItemEmbedding]:
        return [m for m in self.encoder.modules() if isinstance(m, ItemEmbedding)]

    def prepare_prefixes(
        self,
        items: Int64Array,
        cells: Int64Array,
        session: Int64Array | None,
        block: int | None = None,
    ) -> TensorRecord | None:
        """Inputs of the encoder that are derived from the clicks.

        Args:
            items: (B, T), see `Encoder.prepare_prefixes`.
            cells: (P,), see there.
            session: (B,) or None, see there.
            block: the block of time of these training sessions; None outside training and for a
                model that requires no blocks.
        """
        del block
        return self.encoder.prepare_prefixes(items, cells, session)

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """The arrays of `state` with a row for each item: those that grow with the catalog."""
        dataset_info = DatasetInfo.from_state(self.state(), self.config)
        with torch.random.fork_rng([]):  # the initial weights drawn here are discarded
            three, four = (
                type(self)(self.config, n_items, dataset_info).encoder.state_dict()
                for n_items in (3, 4)
            )
        return tuple(name for name, array in three.items() if array.shape != four[name].shape)

    def task(self, sessions: Sessions, seed: int) -> Task | None:
        """The auxiliary training task on these sessions; None for a model without one."""
        del sessions, seed
        return None

    @classmethod
    def task_weights(cls, config: Any, n_items: int) -> tuple[int, int]:
        """The number of weights of the task alone, and of all weights that the task trains."""
        del config, n_items
        return 0, 0

    def state(self) -> dict[str, AnyArray]:
        """The weights by name."""
        weights = self.encoder.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}

    def stored_state(self) -> Mapping[str, Storable]:
        """The weights by name; rows of other processes are read within `ItemShards.on_first`."""
        own, shards = super().stored_state(), self.shards
        split = {} if shards is None else {name: shards.whole(name) for name in shards.names}
        return {**own, **split}

    @classmethod
    def check_splittable(cls) -> None:
        """See `Model.check_splittable`; those with `shards_items` can."""
        if not cls.shards_items:
            super().check_splittable()

    @classmethod
    def load_rows(cls, path: Path, config: Any, n_items: int, processes: Processes) -> Self:
        """See `Model.load_rows`."""
        from nextclick.models.sharding.loading import load_sharded

        return load_sharded(cls, path, config, n_items, processes)

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: Any, n_items: int) -> None:
        """Check the weights, and that the encoder of `config` is no larger than they are."""
        super().check_state(state, config, n_items)
        check_length("items.weight", named_array(state, "items.weight"), n_items + 1)
        longest = max(max(array.shape, default=1) for array in state.values())
        sizes = [value for value in asdict(config).values() if type(value) is int]
        if max(sizes, default=0) > longest:
            _check_shapes(cls, state, config, n_items)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model of `state`; the item embedding determines the number of items."""
        model = cls(config, len(state["items.weight"]) - 1, DatasetInfo.from_state(state, config))
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        model.encoder.load_state_dict(tensors)
        model.loaded()
        return model


def _check_shapes(
    model_type: type[NeuralModel], state: Mapping[str, AnyArray], config: Any, n_items: int
) -> None:
    """Compare the shapes of the arrays with an encoder that has no memory.

    Only for a config with a number above every axis of the arrays: it could ask for more memory
    than there is. Building such an encoder imports 800 modules of torch, which takes a second.

    Raises:
        ArrayError: another shape.
    """
    with torch.device("meta"):
        encoder = model_type(config, n_items, DatasetInfo.from_state(state, config)).encoder
    for name, expected in encoder.state_dict().items():
        array, shape = named_array(state, name), tuple(expected.shape)
        if array.shape not in (shape, shape or (1,)):  # a number is stored as one entry
            raise ArrayError(f"{name} must have shape {shape}, got {array.shape}")
