"""Draws sessions to try a model with, from what its artifact stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from nextclick.models.blended.blend import Blend
from nextclick.models.classical.session_knn import SessionKNN

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array, Int64Array, RawId
    from nextclick.models.base import Model
    from nextclick.serving.recommender import Recommender

MIN_CLICKS, MAX_CLICKS = 2, 10
_POPULAR = 50  # most clicked items that a session is drawn from
_N_DRAWS = 100  # sessions that are drawn until one is long enough


class ExampleSession(NamedTuple):
    """A session, and what it was drawn from; see `ExampleResponse.source`."""

    items: list[RawId]
    source: Literal["training-session", "training-items", "popular-items"]


def draw_session(recommender: Recommender, rng: np.random.Generator) -> ExampleSession:
    """Draw a session of `MIN_CLICKS` to `MAX_CLICKS` clicks; a longer one is cut.

    A catalog of a single item gives one click.
    """
    artifact = recommender.artifact
    if artifact.log is not None:
        items = _draw(artifact.log.items, artifact.log.offsets, rng)
        if items is not None:
            return ExampleSession(artifact.items.raw_ids(items), "training-session")
    for model in (artifact.model, *_members(artifact.model)):
        if isinstance(model, SessionKNN):
            items = _draw(model.index.session_items, model.index.session_offsets, rng)
            if items is not None:
                return ExampleSession(artifact.items.raw_ids(items), "training-items")
    popular = recommender.popular[:_POPULAR]
    drawn = rng.choice(popular, size=min(3, len(popular)), replace=False)
    return ExampleSession(artifact.items.raw_ids(drawn), "popular-items")


def _members(model: Model) -> tuple[Model, ...]:
    return model.members if isinstance(model, Blend) else ()


def _draw(items: Int32Array, offsets: Int64Array, rng: np.random.Generator) -> Int32Array | None:
    """The known items of a random session; None if no drawn session is long enough."""
    n_sessions = len(offsets) - 1
    for session in rng.integers(n_sessions, size=_N_DRAWS).tolist() if n_sessions else ():
        drawn = np.asarray(items[offsets[session] : offsets[session + 1]])
        known = drawn[drawn > 0][:MAX_CLICKS]
        if len(known) >= MIN_CLICKS:
            return known
    return None
