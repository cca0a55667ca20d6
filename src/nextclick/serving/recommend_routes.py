"""Routes that recommend for the sessions of a request."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nextclick.errors import InputError, RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation
from nextclick.serving.problem_details import message_field
from nextclick.serving.request import RecommendationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from nextclick.core.types import RawId
    from nextclick.serving.app import App
    from nextclick.serving.batching import Answer
    from nextclick.serving.model_manager import LoadedModel, ModelSlot

T = TypeVar("T")
R = TypeVar("R")


@operation(
    "POST", "/v1/recommend",
    body=schemas.RecommendRequest, response=schemas.RecommendResponse, problems=(404, 503),
)  # fmt: skip
async def recommend(
    app: App, request: Request, body: schemas.RecommendRequest
) -> schemas.RecommendResponse:
    """Recommend the most likely next clicks of a session."""
    del request
    slot = app.models.slot(body.model)
    loaded = slot.loaded
    resolved = loaded.recommender.resolve(_recommendation_request(body, loaded))
    (answer,) = await app.answer(loaded, [resolved])
    titled = body.session if body.titles else None
    return recommend_response(slot, loaded, answer, titled=titled)


@operation(
    "POST", "/v1/recommend/batch",
    body=schemas.BatchRequest, response=schemas.BatchResponse, problems=(404, 503),
)  # fmt: skip
async def recommend_batch(
    app: App, request: Request, body: schemas.BatchRequest
) -> schemas.BatchResponse:
    """Recommend for several independent sessions."""
    del request
    bodies = body.requests
    slots = [_numbered(n, app.models.slot, one.model) for n, one in enumerate(bodies)]
    loaded = {slot.name: slot.loaded for slot in slots}  # one version for the whole batch
    resolved = [
        _numbered(
            n,
            loaded[slot.name].recommender.resolve,
            _recommendation_request(one, loaded[slot.name]),
        )
        for n, (slot, one) in enumerate(zip(slots, bodies, strict=True))
    ]
    rows = {name: [n for n, slot in enumerate(slots) if slot.name == name] for name in loaded}
    answers = await asyncio.gather(
        *(app.answer(loaded[name], [resolved[n] for n in rows[name]]) for name in rows)
    )
    responses: dict[int, schemas.RecommendResponse] = {}
    for name, answered in zip(rows, answers, strict=True):
        for n, answer in zip(rows[name], answered, strict=True):
            titled = bodies[n].session if bodies[n].titles else None
            responses[n] = recommend_response(slots[n], loaded[name], answer, titled=titled)
    return schemas.BatchResponse([responses[n] for n in range(len(bodies))])


def default_k(k: int | None, loaded: LoadedModel) -> int:
    """The requested k, or the default, limited to the catalog."""
    return min(schemas.DEFAULT_K, len(loaded.recommender.popular)) if k is None else k


def recommend_response(
    slot: ModelSlot,
    loaded: LoadedModel,
    answer: Answer,
    *,
    titled: Sequence[RawId] | None,
    degraded: bool = False,
) -> schemas.RecommendResponse:
    """The response body; with titles if `titled` is the session, without if it is None."""
    recommendation, explanation = answer
    response = schemas.RecommendResponse(
        model=slot.name,
        version=loaded.version.name,
        items=recommendation.items,
        scores=recommendation.scores,
        from_model=recommendation.from_model,
        unknown=recommendation.unknown,
        note=recommendation.note,
        degraded=degraded,
    )
    if explanation is not None:
        response.explanation = msgspec.convert(asdict(explanation), schemas.ExplanationResponse)
    if titled is not None:
        titles = loaded.catalog.titles
        response.titles, response.session_titles = titles(response.items), titles(titled)
        if response.explanation:
            for neighbor in response.explanation.neighbors or ():
                neighbor.titles = titles(neighbor.items)
    return response


def _recommendation_request(
    body: schemas.RecommendRequest, loaded: LoadedModel
) -> RecommendationRequest:
    return RecommendationRequest(
        body.session,
        default_k(body.k, loaded),
        times=body.times,
        user=body.user,
        now=body.now,
        exclude_seen=body.exclude_seen,
        allow=body.allow,
        block=body.block,
        explain=body.explain,
    )


def _numbered(n: int, function: Callable[[T], R], argument: T) -> R:
    """Call a function for request n of a batch; its errors name the number."""
    try:
        return function(argument)
    except InputError as error:
        field = getattr(error, "field", None) or message_field(str(error))
        raise RequestError(
            f"requests[{n}]: {error}",
            status=getattr(error, "status", 422),
            field=f"requests[{n}]" + (f".{field}" if field else ""),
        ) from None
