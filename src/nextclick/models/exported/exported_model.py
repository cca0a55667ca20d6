"""A trained neural model whose encoder ONNX Runtime computes, without PyTorch."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from nextclick.core.array_checks import check_finite
from nextclick.core.item_similarity import vector_similarity
from nextclick.errors import ArtifactError, ConfigError
from nextclick.models.base import Model
from nextclick.models.exported.encoder_facts import EncoderFacts
from nextclick.models.exported.session_feed import OneSession, session_feed
from nextclick.models.features.feature_options import FeatureConfig
from nextclick.models.model_explanation import ModelExplanation, attention_weights, top_neighbors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import AnyArray, Float32Array, Int32Array

QUERY, ADDITIONS = "query", "additions"  # outputs of a graph


class ExportedModel(Model):
    """A model that answers requests; it can be neither trained nor saved.

    Its class has the name, the capabilities and the inputs of the exported model.

    Attributes:
        weights_file: the file with the arrays of the model.
    """

    reads: ClassVar[frozenset[str]]

    def __init__(self, config: Any, facts: EncoderFacts, session: Any, weights_file: Path):
        self.config = config
        self.weights_file = weights_file
        self._session, self._prefix = session, facts.prefix
        self._evidence = facts.evidence
        self._n_users = facts.n_users
        self._options = _only_requested_outputs()
        with safe_open(weights_file, framework="numpy") as file:
            self._table = _finite(file, self._prefix + facts.table)
            self._bias = None
            if facts.bias is not None:
                self._bias = _finite(file, self._prefix + facts.bias)

    @classmethod
    def load(cls, file: Path, weights_file: Path) -> ExportedModel:
        """Load a graph that `write_encoders` wrote.

        Args:
            file: the graph.
            weights_file: the arrays of the model, which the graph refers to.

        Raises:
            ArtifactError: ONNX Runtime cannot load the graph, or it does not belong to the weights.
            ArrayError: the item vectors are not finite.
        """
        session = open_session(file)
        facts = EncoderFacts.of_metadata(session.get_modelmeta().custom_metadata_map, file)
        config = _config(facts.model, facts.config)
        members = {
            "name": facts.model,
            "Config": type(config),
            "default_capabilities": facts.capabilities,
            "reads": frozenset(facts.reads),
        }
        model_type: type[ExportedModel] = type(cls.__name__, (cls,), members)
        model = model_type(config, facts, session, weights_file)
        width = session.get_outputs()[0].shape[-1]
        if model._table.ndim != 2 or model._table.shape[1] != width:
            raise ArtifactError(
                f"{file}: the graph has queries of {width} numbers, the item vectors in "
                f"{weights_file.name} have the shape {model._table.shape}; train again"
            )
        return model

    def check_origin(self, model: str, config: Any, folder: Path) -> None:
        """Check that the graph was made from a model.

        Args:
            model: the name of the model.
            config: its parameters.
            folder: the artifact, for the message.

        Raises:
            ArtifactError: it was made from another model, or with other parameters.
        """
        if (self.name, vars(self.config)) != (model, vars(config)):
            raise ArtifactError(
                f"{folder}: the exported encoder is that of another training of {self.name}, not "
                f"that of {model} in the manifest; train again"
            )

    @classmethod
    def requires(cls, config: Any) -> frozenset[str]:
        """See `Model.requires`."""
        del config
        return cls.reads

    @property
    def n_items(self) -> int:
        """N."""
        return len(self._table) - 1

    @property
    def n_users(self) -> int | None:
        """U, None for a model that reads no users."""
        n_users: int | None = self._n_users
        return n_users

    @property
    def max_length(self) -> int | None:
        """The number of latest clicks that the encoder reads; None for all."""
        max_length: int | None = self.config.max_length
        return max_length

    def item_vectors(self) -> tuple[Float32Array, Float32Array | None]:
        """See `NeuralModel.item_vectors`."""
        return self._table, self._bias

    def weights(self) -> dict[str, AnyArray]:
        """The arrays of the model by name."""
        return {
            name.removeprefix(self._prefix): array
            for name, array in load_file(self.weights_file).items()
            if name.startswith(self._prefix)
        }

    def query(self, session: OneSession) -> Float32Array:
        """(D,) query of a session with at least one click."""
        query: Float32Array = self._outputs([QUERY], session)[0][0]
        return query

    def queries(self, batch: SessionBatch) -> Float32Array:
        """(B, D) queries of B sessions, each with at least one click."""
        return np.stack([self.query(OneSession.of(batch, b)) for b in range(len(batch))])

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32 scores; all scores of an empty session are 0."""
        scores = np.zeros((len(batch), self.n_items + 1), dtype=np.float32)
        names = [QUERY] if self.capabilities.product_scores else [QUERY, ADDITIONS]
        for b in np.flatnonzero(batch.lengths).tolist():
            feed = self._feed(OneSession.of(batch, b))
            query, *additions = self._session.run(names, feed, self._options)
            np.matmul(self._table, query[0], out=scores[b])
            if self._bias is not None:
                scores[b] += self._bias
            if additions:
                scores[b, feed["history.pair_items"][:-1]] += additions[0][:-1]
        return scores

    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the item vectors that queries are multiplied with."""
        return vector_similarity(self._table)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """The attention weights over the clicks of one session, or its neighbor sessions."""
        del items
        session = OneSession.of(batch, 0)
        names = [one.name for one in self._session.get_outputs()]
        outputs = iter(self._outputs([n for n in names if n not in (QUERY, ADDITIONS)], session))
        n_clicks = len(session.clicks)
        first = 0 if self.max_length is None else max(n_clicks - self.max_length, 0)
        explanation = ModelExplanation()
        for kind, name, fields in self._evidence:
            arrays = {each: next(outputs) for each in fields}
            if kind == "neighbors":
                explanation.neighbors = top_neighbors(**arrays)
            else:
                weights = arrays["weights"]
                positions = arrays.get("clicks", np.arange(len(weights))) + first
                explanation.attention.append(attention_weights(name, weights, positions))
        return explanation

    def _feed(self, session: OneSession) -> dict[str, AnyArray]:
        return session_feed(
            session, self.reads, self.max_length, self.capabilities.earlier_sessions
        )

    def _outputs(self, names: list[str], session: OneSession) -> list[AnyArray]:
        outputs: list[AnyArray] = self._session.run(names, self._feed(session), self._options)
        return outputs

    def state(self) -> dict[str, AnyArray]:
        """Not available.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"this {self.name} was loaded to answer requests and cannot be saved, trained or "
            "refreshed; name the folder of its artifact instead"
        )

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Not available; see `load`."""
        raise NotImplementedError("an exported model is loaded by ExportedModel.load")


def open_session(file: Path) -> Any:
    """Load a graph, for one thread.

    Raises:
        ArtifactError: ONNX Runtime cannot load it.
    """
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # the error has the reason
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(
            f"{file}: ONNX Runtime cannot load the graph: {reason!r:.200}; install another version "
            "of it with pip install --upgrade 'nextclick[serve]', or train again"
        ) from error


def _finite(file: Any, name: str) -> Float32Array:
    array: Float32Array = file.get_tensor(name)
    check_finite(name, array)
    return array


def _only_requested_outputs() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("only_execute_path_to_fetches", "1")
    return options


def _config(model: str, values: Mapping[str, Any]) -> Any:
    """The parameters of a model as a frozen dataclass."""
    fields = [(name, Any, field(kw_only=True)) for name in values]
    bases = (FeatureConfig,) if "features" in values else ()
    return make_dataclass(f"{model} config", fields, bases=bases, frozen=True)(**values)
