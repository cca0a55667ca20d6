"""Routes that recommend for the sessions of a request."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.responses import Response

from nextclick.core.item_rules import NO_RULES, ItemRules
from nextclick.core.shown_list import pool_size
from nextclick.errors import InputError, RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation
from nextclick.serving.problem_details import message_field
from nextclick.serving.request_cost import request_cost
from nextclick.serving.session_body import clicks_with_history, recommendation_request
from nextclick.serving.stored_history import with_stored_history

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from nextclick.core.types import RawId
    from nextclick.serving.app import App
    from nextclick.serving.batching import Answer
    from nextclick.serving.model_slot import LoadedModel, ModelSlot
    from nextclick.serving.request import RecommendationRequest

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
    slot = app.models.slot(body.model)
    loaded, arm = slot.assign(None, body.user)
    _check_first_click(body)
    body, degraded = await with_stored_history(app, request, loaded, body)
    rules = item_rules(body)
    cost = _cost(body, loaded, rules)
    app.asgi.charge(request.scope, cost - 1)
    app.check_capacity(loaded, cost)
    resolved = loaded.recommender.resolve(_recommendation_request(body, loaded, rules))
    (answer,) = await app.answer(loaded, [resolved], [cost], request.scope)
    log_shown(app, slot, (loaded, arm), body, answer)
    titled = body.session if body.titles else None
    return recommend_response(slot, loaded, answer, titled=titled, degraded=degraded)


@operation(
    "POST", "/v1/recommend/batch",
    body=schemas.BatchRequest, response=schemas.BatchResponse, problems=(404, 503),
)  # fmt: skip
async def recommend_batch(app: App, request: Request, body: schemas.BatchRequest) -> Response:
    """Recommend for several independent sessions."""
    slots = [_numbered(n, app.models.slot, one.model) for n, one in enumerate(body.requests)]
    groups, loaded = _group(slots, body.requests)
    bodies, degraded = [], []
    for n, (group, one) in enumerate(zip(groups, body.requests, strict=True)):
        _numbered(n, _check_first_click, one)
        complete = await with_stored_history(app, request, loaded[group], one)
        bodies.append(complete[0])
        degraded.append(complete[1])
    rules = [_numbered(n, item_rules, one) for n, one in enumerate(bodies)]
    costs = [
        _cost(one, loaded[group], own)
        for group, one, own in zip(groups, bodies, rules, strict=True)
    ]
    app.asgi.charge(request.scope, sum(costs) - 1)
    rows = {group: [n for n, own in enumerate(groups) if own == group] for group in loaded}
    for group in rows:
        app.check_capacity(loaded[group], sum(costs[n] for n in rows[group]))
    turns = _Turns(app.settings.max_batch)
    resolved = []
    with app.reserve(sum(costs)):
        for n, (group, one) in enumerate(zip(groups, bodies, strict=True)):
            await turns.work(costs[n])
            raw_request = _recommendation_request(one, loaded[group], rules[n])
            resolved.append(_numbered(n, loaded[group].recommender.resolve, raw_request))
    answered = await asyncio.gather(
        *(
            app.answer(
                loaded[group], [resolved[n] for n in rows[group]],
                [costs[n] for n in rows[group]], request.scope,
            )
            for group in rows
        )
    )  # fmt: skip
    encoded = [b""] * len(bodies)
    for group, answers in zip(rows, answered, strict=True):
        for n, answer in zip(rows[group], answers, strict=True):
            await turns.work(costs[n])
            log_shown(app, slots[n], (loaded[group], group[1]), bodies[n], answer)
            titled = bodies[n].session if bodies[n].titles else None
            response = recommend_response(
                slots[n], loaded[group], answer, titled=titled, degraded=degraded[n]
            )
            encoded[n] = msgspec.json.encode(response)
    return Response(b'{"responses":[%b]}' % b",".join(encoded), media_type="application/json")


def _group(
    slots: Sequence[ModelSlot], requests: Sequence[schemas.RecommendRequest]
) -> tuple[list[tuple[str, str | None]], dict[tuple[str, str | None], LoadedModel]]:
    """The name and the arm of each request, and the one version that answers each such pair."""
    loaded: dict[tuple[str, str | None], LoadedModel] = {}
    groups = []
    for slot, one in zip(slots, requests, strict=True):
        version, arm = slot.assign(None, one.user)
        loaded.setdefault((slot.name, arm), version)
        groups.append((slot.name, arm))
    return groups, loaded


def log_shown(
    app: App,
    slot: ModelSlot,
    assigned: tuple[LoadedModel, str | None],
    body: schemas.RecommendRequest,
    answer: Answer,
) -> None:
    """Log the last click of a request without a live session, and the items shown."""
    loaded, arm = assigned
    if app.event_log is not None:
        app.event_log.add(
            session=None,
            user=body.user,
            seconds=None,
            answered_by=(slot.name, loaded.version.name),
            item=body.session[-1] if body.session else None,
            items=answer[0].items,
            propensity=answer[0].propensity,
            arm=arm,
        )


class _Turns:
    """Lets other requests run while a large one is processed in the event loop."""

    def __init__(self, max_cost: int):
        self._max_cost = max_cost
        self._done = 0

    async def work(self, cost: int) -> None:
        """Count work of a cost; give up the event loop after `max_cost`."""
        self._done += cost
        if self._done > self._max_cost:
            self._done = cost
            await asyncio.sleep(0)


def candidate_count(k: int, rules: ItemRules) -> int:
    """The number of items that are searched for a list of k."""
    return pool_size(k) if rules.forms_list else k


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
    if recommendation.propensity is not None:
        response.propensity = recommendation.propensity
    if explanation is not None:
        response.explanation = msgspec.convert(asdict(explanation), schemas.ExplanationResponse)
    if titled is not None:
        titles = loaded.catalog.titles
        response.titles, response.session_titles = titles(response.items), titles(titled)
        if response.explanation:
            for neighbor in response.explanation.neighbors or ():
                neighbor.titles = titles(neighbor.items)
    return response


def item_rules(body: schemas.ListRequest) -> ItemRules:
    """The rules of a request body.

    Raises:
        ConfigError: a value is out of range.
    """
    named = body.block or body.boost or body.pin or body.cap
    if not (body.exclude_seen or body.explore or named) and (
        (body.allow, body.where, body.diversity) == (None, None, None)
    ):
        return NO_RULES
    return ItemRules(
        exclude_seen=body.exclude_seen,
        allow=body.allow,
        block=body.block,
        where=body.where,
        boost=body.boost,
        pin=body.pin,
        cap=body.cap,
        diversity=body.diversity,
        explore=body.explore,
        explore_seed=body.explore_seed,
    )


def _check_first_click(body: schemas.RecommendRequest) -> None:
    """Check that a session without clicks has another input.

    Raises:
        RequestError: it has neither a user nor a history.
    """
    if not body.session and body.user is None and not body.history:
        raise RequestError(
            "session must have at least one click unless the request has a user or a history; "
            "send one of them",
            field="session",
        )


def _cost(body: schemas.RecommendRequest, loaded: LoadedModel, rules: ItemRules) -> int:
    k = candidate_count(default_k(body.k, loaded), rules)
    return request_cost(clicks_with_history(body), k, explain=body.explain)


def _recommendation_request(
    body: schemas.RecommendRequest, loaded: LoadedModel, rules: ItemRules
) -> RecommendationRequest:
    k = default_k(body.k, loaded)
    return recommendation_request(body, k, rules, explain=body.explain)


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
