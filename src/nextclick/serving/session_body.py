"""Request bodies that contain a session and the earlier sessions of its visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nextclick.core.item_rules import NO_RULES
from nextclick.serving.explain_schemas import ExplainRequest
from nextclick.serving.request import RecommendationRequest
from nextclick.serving.schemas import RecommendRequest

if TYPE_CHECKING:
    from nextclick.core.item_rules import ItemRules

SessionBody = TypeVar("SessionBody", RecommendRequest, ExplainRequest)


def recommendation_request(
    body: RecommendRequest | ExplainRequest,
    k: int,
    rules: ItemRules = NO_RULES,
    *,
    explain: bool = False,
) -> RecommendationRequest:
    """The request of a body for k items."""
    return RecommendationRequest(
        body.session,
        k,
        times=body.times,
        user=body.user,
        now=body.now,
        history=[
            (earlier.session, earlier.time if earlier.times is None else earlier.times)
            for earlier in body.history
        ],
        rules=rules,
        explain=explain,
    )


def clicks_with_history(body: RecommendRequest | ExplainRequest) -> int:
    """The number of clicks of a body, those of the earlier sessions included."""
    return len(body.session) + sum(len(earlier.session) for earlier in body.history)
