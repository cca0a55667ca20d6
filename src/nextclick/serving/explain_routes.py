"""The route that explains why a session gets its items."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec

from nextclick.errors import RequestError
from nextclick.serving import explain_schemas as schemas
from nextclick.serving.batching import LARGE_QUEUE
from nextclick.serving.explanation import ExplainedRows
from nextclick.serving.explanation_request import (
    ablated_requests,
    check_explained,
    items_to_explain,
    nothing_to_explain,
)
from nextclick.serving.operations import operation
from nextclick.serving.request_cost import explanation_costs, request_cost
from nextclick.serving.session_body import clicks_with_history, recommendation_request
from nextclick.serving.stored_history import with_stored_history

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App
    from nextclick.serving.explanation import Explanation
    from nextclick.serving.model_slot import LoadedModel, ModelSlot
    from nextclick.serving.request import ResolvedRequest


@operation(
    "POST", "/v1/explain",
    body=schemas.ExplainRequest, response=schemas.ExplainResponse, problems=(404, 503),
)  # fmt: skip
async def explain(
    app: App, request: Request, body: schemas.ExplainRequest
) -> schemas.ExplainResponse:
    """Explain why a session gets its items: their ranks without each click, and the evidence."""
    slot = app.models.slot(body.model)
    loaded, _ = slot.assign(None, body.user)
    recommender = loaded.recommender
    body, degraded = await with_stored_history(app, request, loaded, body)
    costs = _costs(app, loaded, body)
    app.asgi.charge(request.scope, sum(costs) - 1)
    app.thread_batcher.check_capacity(sum(costs))
    given = recommendation_request(body, _k(body, loaded))
    resolved = recommender.resolve(given)
    check_explained(resolved)
    items = await _explained_items(app, loaded, resolved, body, request)
    rows = ExplainedRows(recommender.answering(resolved), resolved, items)
    indices = recommender.indices(given.session)
    ablated = ablated_requests(recommender.artifact.model, given, indices)
    sessions = [resolved, *map(recommender.resolve, ablated)]
    answers = await app.compute(rows, sessions, costs[: len(sessions)], request.scope)
    explanation = rows.explanation([ranking for ranking, _ in answers], answers[0][1])
    return _response(slot, loaded, explanation, titles=body.titles, degraded=degraded)


def _costs(app: App, loaded: LoadedModel, body: schemas.ExplainRequest) -> list[int]:
    """The cost of the session, and of the session without each click.

    Raises:
        RequestError: they exceed the queue of large requests.
    """
    clicks = clicks_with_history(body)
    n_items = loaded.recommender.artifact.model.n_items
    costs = explanation_costs(len(body.session), clicks - len(body.session), n_items)
    limit = LARGE_QUEUE * app.settings.max_queue
    if sum(costs) > limit:
        raise RequestError(
            f"session is too long to be explained: {clicks} clicks, with those of history, among "
            f"{n_items} items cost {sum(costs)} requests of ordinary cost, the limit is {limit}; "
            "send only the last clicks",
            field="session",
        )
    return costs


def _k(body: schemas.ExplainRequest, loaded: LoadedModel) -> int:
    """The number of items that are recommended to be explained."""
    if body.items is not None:
        return 1
    n_items = loaded.recommender.artifact.model.n_items
    return min(schemas.DEFAULT_EXPLAINED, n_items) if body.k is None else body.k


async def _explained_items(
    app: App,
    loaded: LoadedModel,
    resolved: ResolvedRequest,
    body: schemas.ExplainRequest,
    request: Request,
) -> list[int]:
    """Indices of the items of the request, or of the recommended ones."""
    recommender = loaded.recommender
    if body.items is not None:
        return items_to_explain(recommender.indices(body.items), body.items)
    cost = request_cost(len(body.session), resolved.k)
    ((recommendation, _),) = await app.answer(loaded, [resolved], [cost], request.scope)
    if recommendation.from_model == 0:
        raise nothing_to_explain(recommender.artifact.model.name)
    found = recommendation.items[: recommendation.from_model]
    return items_to_explain(recommender.indices(found), found)


def _response(
    slot: ModelSlot,
    loaded: LoadedModel,
    explanation: Explanation,
    *,
    titles: bool,
    degraded: bool,
) -> schemas.ExplainResponse:
    fields = asdict(explanation) | {
        "model": slot.name,
        "version": loaded.version.name,
        "degraded": degraded,
    }
    response = msgspec.convert(fields, schemas.ExplainResponse)
    if titles:
        titles_of = loaded.catalog.titles
        response.titles = titles_of(response.items)
        response.click_titles = titles_of(response.clicks)
        for voter in response.neighbors:
            if voter.items is not None:
                voter.titles = titles_of(voter.items)
    return response
