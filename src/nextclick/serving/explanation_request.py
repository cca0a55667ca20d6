"""What an explanation needs of its request: the items, and the session without each click."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.serving.request import RecommendationRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Int32Array, RawId
    from nextclick.models.base import Model
    from nextclick.serving.request import ResolvedRequest


def check_explained(request: ResolvedRequest) -> None:
    """Check that a session has a known click.

    Raises:
        ConfigError: it has none.
    """
    if len(request.clicks) == 0:
        raise ConfigError(
            "session must have at least one click on an item known to the model to be explained, "
            f"got {list(request.original.session)!r}; use ids of the training log"
        )


def ablated_requests(
    model: Model, request: RecommendationRequest, indices: Int32Array
) -> list[RecommendationRequest]:
    """A request without each of the clicks that are known to the model, in their order.

    The moment of prediction stays the same if the request names it. If no click remains, a model
    that cannot predict the first click reads nothing else either.

    Args:
        model: the model.
        request: the request.
        indices: of its clicks; 0 for an unknown one.
    """
    session = list(request.session)
    ablated = []
    for click in np.flatnonzero(indices).tolist():
        rest = [n for n in range(len(session)) if n != click]
        if not rest and not model.capabilities.first_click:
            ablated.append(RecommendationRequest([], request.k))
            continue
        times = None if request.times is None else [request.times[n] for n in rest]
        ablated.append(replace(request, session=[session[n] for n in rest], times=times))
    return ablated


def items_to_explain(indices: Int32Array, raw_ids: Sequence[RawId]) -> list[int]:
    """The index of each item to explain, without duplicates.

    Args:
        indices: of the ids; 0 for an item that the model does not rank.
        raw_ids: the ids.

    Raises:
        ConfigError: there is none, or one is unknown.
    """
    missing = [raw for raw, item in zip(raw_ids, indices.tolist(), strict=True) if item == 0]
    if missing or not len(indices):
        raise ConfigError(
            "items must contain at least one item, all known to the model; "
            f"got {missing or list(raw_ids)!r}"
        )
    return [int(item) for item in dict.fromkeys(indices.tolist())]


def nothing_to_explain(model: str) -> ConfigError:
    """The error of a session for which a model recommends nothing."""
    return ConfigError(f"{model} recommends no item for this session; name the items to explain")
