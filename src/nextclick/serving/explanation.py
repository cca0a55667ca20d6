"""Why a session gets the items that it gets, on raw ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.serving.click_ablation import UNNAMED, standing
from nextclick.serving.request import batch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.core.types import Int32Array, RawId
    from nextclick.models import explanation as evidence
    from nextclick.models.base import Model
    from nextclick.models.explanation import Evidence
    from nextclick.serving.request import Wish


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the explained items stand.

    Attributes:
        scores: of each item.
        leads: of each item, its score less the mean of the whole catalog. A click that moves all
            scores alike moves no lead, as it moves no rank.
        ranks: of each item in the whole catalog, 1 the best; None where the model does not
            recommend it, since no item scores lower.
    """

    scores: list[float]
    leads: list[float]
    ranks: list[int | None]


@dataclass(frozen=True, slots=True)
class Attention:
    """What a layer of the model weighs clicks with, in the pass that gave the scores.

    Attributes:
        layer: its name.
        clicks: which of `Explanation.clicks` these are, 0 the first. A layer that weighs items
            has each at its first click.
        weights: one number for each of `clicks`; of a layer with a map, its last row.
        map: for each of `clicks` what it takes from each of them, 0 from later ones; None of a
            layer that looks at the session from its last click alone.
    """

    layer: str
    clicks: list[int]
    weights: list[float]
    map: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class Voter:
    """A session of the training log that votes.

    Attributes:
        items: its distinct items; None where the model has kept none.
        similarity: to the session that asks.
        vote: what it gives to each of its items; of a memory, the share that is read of it.
        session: its number among the training sessions, 0 the first; None where nobody knows it.
    """

    items: list[RawId] | None
    similarity: float
    vote: float
    session: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Active neighbors of an item in the graph of the days.

    Attributes:
        item: that was clicked.
        neighbors: those of highest weight, best first.
        weights: of the edges to them.
    """

    item: RawId
    neighbors: list[RawId]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the scores are sums of.

    Attributes:
        clicks: for each click, what it gives to each item.
        rest: by name, what else gives to each item.
    """

    clicks: list[list[float]]
    rest: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a session gets its items.

    Attributes:
        model: its name.
        clicks: those that the model knows, in their order.
        unknown: the clicked ids that it does not, which were passed over.
        items: that are explained.
        now: how they stand in the session as it is.
        without: for each click, how they stand where it had not been made: the session without
            it, its gaps measured anew.
        attention: layer by layer; empty for a model that has none.
        neighbors: the sessions that vote most.
        links: of the distinct items clicked.
        parts: where scores are sums over clicks.
        note: what a person should know, or None.
    """

    model: str
    clicks: list[RawId]
    unknown: list[RawId]
    items: list[RawId]
    now: Ranking
    without: list[Ranking]
    attention: list[Attention]
    neighbors: list[Voter]
    links: list[Link]
    parts: Parts | None
    note: str | None

    def layer(self, name: str) -> Explanation:
        """The same with the attention of one layer alone.

        Raises:
            ConfigError: there is none of that name.
        """
        kept = [one for one in self.attention if one.layer == name]
        if not kept:
            known = ", ".join(one.layer for one in self.attention) or "none"
            raise ConfigError(f"layer must be one of those of {self.model}: {known}; got {name!r}")
        return replace(self, attention=kept)


def evidence_of(model: Model, wish: Wish, items: Int32Array) -> Evidence:
    """What a model explains of a session with a known click; empty if it explains nothing."""
    return model.explained(batch_of([wish]), items)


def explain_wish(
    artifact: Artifact, wish: Wish, without: Sequence[Wish], items: Sequence[int]
) -> Explanation:
    """Why the session of `wish` gets `items`.

    Args:
        artifact: the model.
        wish: with at least one known click.
        without: the session without each of its known clicks.
        items: indices in 1..N, at least one.
    """
    model, raws = artifact.model, artifact.items.raws
    asked = np.array(items, dtype=np.int32)
    found = evidence_of(model, wish, asked)
    stood = standing(model, [wish, *without], asked)
    stands = [
        Ranking(scores, leads, [None if rank == UNNAMED else rank for rank in ranks])
        for scores, leads, ranks in zip(*(array.tolist() for array in stood), strict=True)
    ]
    parts = found.parts
    return Explanation(
        model=model.name,
        clicks=raws(wish.clicks),
        unknown=wish.unknown,
        items=raws(asked),
        now=stands[0],
        without=stands[1:],
        attention=[
            Attention(one.name, one.clicks.tolist(), one.of_last.tolist(), one.map)
            for one in found.attention
        ],
        neighbors=[voter(artifact, one) for one in found.neighbors or ()],
        links=[
            Link(artifact.items.raw(one.item), raws(one.items), one.weights.tolist())
            for one in found.links
        ],
        parts=None
        if parts is None
        else Parts(
            parts.clicks.T.tolist(), {name: each.tolist() for name, each in parts.rest.items()}
        ),
        note=_note(model.name, found, wish),
    )


def voter(artifact: Artifact, one: evidence.Neighbor) -> Voter:
    """A neighbor on raw ids."""
    items = None if one.items is None else artifact.items.raws(one.items)
    return Voter(items, one.similarity, one.vote, one.session)


def _note(name: str, found: Evidence, wish: Wish) -> str | None:
    told = []
    if not (found.attention or found.neighbors or found.links or found.parts):
        told.append(
            f"{name} weighs no clicks that it could name: what falls without each is all it tells"
        )
    if wish.unknown:
        told.append(
            f"{len(wish.unknown)} clicked items are unknown to the model and were passed over"
        )
    return "; ".join(told) or None
