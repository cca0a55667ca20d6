"""What the server says of why a model recommends what it does: `explanation` in short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving.explanation import evidence_of, voter

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.types import RawId
    from nextclick.serving.explanation import Voter
    from nextclick.serving.request import Wish

_NO_ITEMS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a session gets its recommendations.

    Attributes:
        kind: "attention", "neighbors", or None where the model has neither.
        clicks: the latest clicks that the model reads, the last one last.
        weights: attention to each of `clicks`: of the last layer that has any, for the last click.
        neighbors: the sessions that vote most.
        note: why there is nothing, or None.
    """

    kind: str | None
    clicks: list[RawId]
    weights: list[float] | None = None
    neighbors: list[Voter] | None = None
    note: str | None = None


def reasons_for(artifact: Artifact, wish: Wish) -> Reasons:
    """The reasons of one answer."""
    clicks = artifact.items.raws(wish.clicks)
    if not clicks:
        return Reasons(None, [], note="the model knows none of the clicks")
    found = evidence_of(artifact.model, wish, _NO_ITEMS)
    if found.attention:
        last = found.attention[-1]
        read = [clicks[at] for at in last.clicks.tolist()]
        return Reasons("attention", read, weights=last.of_last.tolist())
    if found.neighbors is not None:
        voters = [voter(artifact, one) for one in found.neighbors]
        return Reasons("neighbors", clicks, neighbors=voters)
    note = f"{artifact.model.name} weighs no clicks that it could name"
    return Reasons(None, clicks, note=note)
