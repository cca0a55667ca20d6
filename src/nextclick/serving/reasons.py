"""What a model can say about why it recommends what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.serving.query import Wish, batch_of

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.types import RawId

_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Voter:
    """A session of the training log that votes.

    Attributes:
        items: its distinct items.
        similarity: to the session that asks.
        vote: what it gives to each of its items.
    """

    items: list[RawId]
    similarity: float
    vote: float


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a session gets its recommendations.

    Attributes:
        kind: "attention", "neighbours", or None where the model has neither.
        clicks: the latest clicks that the model reads, the last one last.
        weights: attention to each of `clicks`.
        neighbours: the sessions that vote most.
        note: why there is nothing, or None.
    """

    kind: str | None
    clicks: list[RawId]
    weights: list[float] | None = None
    neighbours: list[Voter] | None = None
    note: str | None = None


def reasons_for(artifact: Artifact, wish: Wish) -> Reasons:
    """The reasons of one answer."""
    raw = artifact.items.raw
    clicks = [raw(item) for item in wish.clicks.tolist()]
    if not clicks:
        return Reasons(None, [], note="the model knows none of the clicks")
    model: Any = artifact.model
    if hasattr(model, "neighbours"):
        voters = [
            Voter([raw(item) for item in found.items.tolist()], found.similarity, found.vote)
            for found in model.neighbours(wish.clicks, _NEIGHBOURS)
        ]
        return Reasons("neighbours", clicks, neighbours=voters)
    weights = model.attention(batch_of([wish])) if hasattr(model, "attention") else None
    if weights is None:
        return Reasons(None, clicks, note=f"{model.name} weighs no clicks that it could name")
    return Reasons("attention", clicks[-len(weights[0]) :], weights=weights[0].tolist())
