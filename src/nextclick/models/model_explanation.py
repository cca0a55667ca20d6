"""Explanations of scores: attention weights, neighbor sessions, graph neighbors, contributions.

A model with `Capabilities.explains` implements

    explain(batch, items) -> ModelExplanation

for a batch of one session with at least one click. Neural models share one implementation: their
encoders call `record_attention` where they compute attention weights, and `explain` runs the
forward pass within `recording()`, which collects the weights of this pass. An exported graph
returns the same arrays as further outputs, which `tracing()` collects.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array

MAX_NEIGHBORS = 5
"""Maximum number of neighbors in an explanation."""


@dataclass(frozen=True, slots=True, eq=False)
class AttentionWeights:
    """Attention weights of one layer.

    Attributes:
        name: name of the layer; `"attention-pooling"` is the attention pooling of the session.
        weights: (n,) weight of each click, or (n, n) with the weights for query click i in row i.
        clicks: (n,) int64, positions of these clicks in the session, from 0.
    """

    name: str
    weights: Float32Array
    clicks: Int64Array

    @property
    def session_weights(self) -> Float32Array:
        """(n,) weights for the whole session, or for its last click as the query."""
        weights: Float32Array = self.weights if self.map is None else self.weights[-1]
        return weights

    @property
    def map(self) -> list[list[float]] | None:
        """The weights of an (n, n) layer as nested lists; None for (n,) weights."""
        return None if self.weights.ndim == 1 else self.weights.tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Neighbor:
    """A neighbor session from the training log, or several with the same items.

    Attributes:
        items: int32, its distinct items; None if the model does not store them.
        similarity: similarity to the explained session.
        vote: its contribution to each of its items, or its weight in a memory; the sum of all
            `count` sessions.
        session: its index among the training sessions; None if the model does not store it.
        count: number of sessions with these items.
    """

    items: Int32Array | None
    similarity: float
    vote: float
    session: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class GraphNeighbors:
    """The neighbors of a clicked item in a graph over the training sessions.

    Attributes:
        item: the clicked item.
        items: (m,) int32, its neighbors by decreasing weight.
        weights: (m,) float32, edge weights.
    """

    item: int
    items: Int32Array
    weights: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class ScoreContributions:
    """Additive contributions to the scores of K items; their sum is the score.

    Attributes:
        clicks: (K, n) float32, contribution of each of the n clicks of the session.
        rest: all other contributions by name, (K,) float32 each.
    """

    clicks: Float32Array
    rest: dict[str, Float32Array]


@dataclass(slots=True, eq=False)
class ModelExplanation:
    """The explanation of the scores of one session.

    Attributes:
        attention: attention weights, layer by layer.
        neighbors: at most `MAX_NEIGHBORS` neighbor sessions, by decreasing vote; None if the model
            uses no neighbor sessions.
        links: graph neighbors of the distinct clicked items, in the order of their first clicks.
        parts: contributions to the scores; None if scores are not sums over clicks.
    """

    attention: list[AttentionWeights] = field(default_factory=list)
    neighbors: list[Neighbor] | None = None
    links: list[GraphNeighbors] = field(default_factory=list)
    parts: ScoreContributions | None = None


_recorded: ContextVar[ModelExplanation | None] = ContextVar("recorded", default=None)


@contextmanager
def recording() -> Iterator[ModelExplanation]:
    """Collect the attention weights that this thread records within the block."""
    explanation = ModelExplanation()
    token = _recorded.set(explanation)
    try:
        yield explanation
    finally:
        _recorded.reset(token)


class TracedEvidence(NamedTuple):
    """Tensors of a graph that is being exported, from which it explains its queries.

    Attributes:
        kind: "attention" or "neighbors".
        name: name of the layer, empty for neighbors.
        tensors: by name: weights, and clicks unless the layer weighs all of them; or similarity,
            vote and session.
    """

    kind: str
    name: str
    tensors: dict[str, Any]


_traced: ContextVar[list[TracedEvidence] | None] = ContextVar("traced", default=None)


@contextmanager
def tracing() -> Iterator[list[TracedEvidence]]:
    """Collect what is recorded within the block as tensors of an exported graph."""
    evidence: list[TracedEvidence] = []
    token = _traced.set(evidence)
    try:
        yield evidence
    finally:
        _traced.reset(token)


def is_recording() -> bool:
    """Whether attention weights have a use: within `recording()` or `tracing()`."""
    return _recorded.get() is not None or _traced.get() is not None


def record_attention(name: str, weights: Any, clicks: Any = None) -> None:
    """Record the attention weights of a layer; no effect outside `recording()`.

    Args:
        name: name of the layer.
        weights: tensor (B, n) or (B, n, n), see `AttentionWeights`; only the first row is recorded,
            which is the last prefix of a batch of one session.
        clicks: tensor (n,), positions of the weighted clicks among those read; None for all.
    """
    explanation, traced = _recorded.get(), _traced.get()
    if explanation is not None:
        positions = None if clicks is None else _to_numpy(clicks)
        explanation.attention.append(attention_weights(name, _to_numpy(weights)[0], positions))
    if traced is not None:
        tensors = {"weights": weights[0]} | ({} if clicks is None else {"clicks": clicks})
        traced.append(TracedEvidence("attention", name, tensors))


def record_neighbors(similarity: Any, vote: Any, session: Any) -> None:
    """Record the neighbor sessions of a memory; no effect outside `recording()`.

    Args:
        similarity: tensor (K,), -inf for an empty slot of the memory.
        vote: tensor (K,), read weights.
        session: tensor (K,), indices of the training sessions.
    """
    explanation, traced = _recorded.get(), _traced.get()
    if explanation is not None:
        arrays = (_to_numpy(tensor) for tensor in (similarity, vote, session))
        explanation.neighbors = top_neighbors(*arrays)
    if traced is not None:
        tensors = {"similarity": similarity, "vote": vote, "session": session}
        traced.append(TracedEvidence("neighbors", "", tensors))


def attention_weights(
    name: str, weights: Float32Array, clicks: AnyArray | None
) -> AttentionWeights:
    """The attention weights of a layer; without positions, those of all clicks."""
    positions = np.arange(len(weights)) if clicks is None else clicks.astype(np.int64)
    return AttentionWeights(name, weights, positions)


def top_neighbors(
    similarity: Float32Array, vote: Float32Array, session: AnyArray
) -> list[Neighbor] | None:
    """The neighbor sessions with the largest votes; see `record_neighbors`. None for none."""
    if not (similarity > -np.inf).any():
        return None
    order = np.argsort(-vote, kind="stable")[:MAX_NEIGHBORS].tolist()
    return [
        Neighbor(None, float(similarity[k]), float(vote[k]), int(session[k]))
        for k in order
        if similarity[k] > -np.inf
    ]


def _to_numpy(tensor: Any) -> AnyArray:
    array: AnyArray = tensor.detach().float().cpu().numpy()
    return array
