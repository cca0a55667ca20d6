"""Evidence for recommendations: why a model scores items of a session as it does.

A model that explains (`Capabilities.explains`) implements

    explained(batch, items) -> Evidence

for a batch of one session with at least one click, and the items to explain. Neural models share
one implementation: their encoders call `record_attention` where they weigh clicks, and `explained`
runs the forward pass within `recording()`, so that the recorded weights are those of the pass.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array

MAX_NEIGHBORS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """What a layer weighs clicks with.

    Attributes:
        name: of the layer. "read-out" sums clicks up to what the session is about.
        weights: (n,) of each click; or (n, n), in row i what click i takes from each click.
        clicks: (n,) int64, which clicks of the session these are, 0 the first.
    """

    name: str
    weights: Float32Array
    clicks: Int64Array

    @property
    def of_last(self) -> Float32Array:
        """(n,) what the session as a whole, or its last click, takes from each click."""
        weights: Float32Array = self.weights if self.map is None else self.weights[-1]
        return weights

    @property
    def map(self) -> list[list[float]] | None:
        """The rows of an (n, n) layer."""
        return None if self.weights.ndim == 1 else self.weights.tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Neighbor:
    """A session of the training log that votes.

    Attributes:
        items: int32, its distinct items; None where the model has kept none.
        similarity: to the session that asks.
        vote: what it gives: to each of its items, or of itself to the session.
        session: its number among the training sessions; None where the model does not know it.
    """

    items: Int32Array | None
    similarity: float
    vote: float
    session: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """What a graph across sessions holds of an item.

    Attributes:
        item: that was clicked.
        items: (m,) int32, its neighbors, the nearest first.
        weights: (m,) float32, of the edges.
    """

    item: int
    items: Int32Array
    weights: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What scores are sums of.

    Attributes:
        clicks: (K, n) float32, what each of the n clicks of the session gives to each item.
        rest: what else gives, by name, (K,) float32 each.
    """

    clicks: Float32Array
    rest: dict[str, Float32Array]


@dataclass(slots=True, eq=False)
class Evidence:
    """All that a model tells of one session.

    Attributes:
        attention: layer by layer.
        neighbors: at most `MAX_NEIGHBORS`, those that vote most, the first one first; None of
            a model that asks no sessions.
        links: of the distinct items clicked, in the order of their first clicks.
        parts: None where scores are no sums over clicks.
    """

    attention: list[Attention] = field(default_factory=list)
    neighbors: list[Neighbor] | None = None
    links: list[Link] = field(default_factory=list)
    parts: Parts | None = None


_recorded: ContextVar[Evidence | None] = ContextVar("recorded", default=None)


@contextmanager
def recording() -> Iterator[Evidence]:
    """Collect the evidence that is recorded on this thread within the block."""
    evidence = Evidence()
    token = _recorded.set(evidence)
    try:
        yield evidence
    finally:
        _recorded.reset(token)


def active_recording() -> Evidence | None:
    """The evidence that is being recorded; None outside of `recording()`."""
    return _recorded.get()


def record_attention(name: str, weights: Any, clicks: Any = None) -> None:
    """Record the weights of a layer for the clicks of one session; no-op outside `recording()`.

    Args:
        name: of the layer.
        weights: tensor (B, n) or (B, n, n), see `Attention`; only the first row is recorded, for a
            batch of one session and its last prefix.
        clicks: tensor (n,), which of the clicks that are read these are; None for all of them.
    """
    evidence = _recorded.get()
    if evidence is not None:
        array = _array(weights)[0]
        at = np.arange(len(array)) if clicks is None else _array(clicks).astype(np.int64)
        evidence.attention.append(Attention(name, array, at))


def _array(tensor: Any) -> AnyArray:
    found: AnyArray = tensor.detach().float().cpu().numpy()
    return found
