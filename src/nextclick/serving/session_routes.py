"""Routes of live sessions, whose clicks the server stores."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from nextclick.core.session_history import MAX_EARLIER_CLICKS
from nextclick.errors import RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation
from nextclick.serving.recommend_routes import (
    candidate_count,
    default_k,
    item_rules,
    recommend_response,
)
from nextclick.serving.request import RecommendationRequest
from nextclick.serving.request_cost import request_cost
from nextclick.serving.sessions.session_store import Click, Session, SessionStoreError
from nextclick.serving.sessions.visitor_history import EARLIER_SESSIONS
from nextclick.serving.stored_history import reads_history, record_click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from nextclick.core.types import RawId
    from nextclick.serving.app import App
    from nextclick.serving.model_slot import LoadedModel

_SESSION_ID = re.compile(schemas.SESSION_ID)
_MAX_AHEAD = 86_400.0  # seconds by which the clock of a client may be ahead


@operation(
    "POST", "/v1/sessions/{id}/events",
    body=schemas.EventRequest, response=schemas.EventResponse, parameters=("id",),
    access="token", problems=(404, 503),
)  # fmt: skip
async def append_event(
    app: App, request: Request, body: schemas.EventRequest
) -> schemas.EventResponse:
    """Add a click to a live session, and recommend."""
    session_id = _session_id(request)
    slot = app.models.slot(body.model)
    loaded, arm = slot.assign(session_id, body.user)
    k, rules = default_k(body.k, loaded), item_rules(body)
    n_items = candidate_count(k, rules)
    click = Click(body.item, _click_time(body.time, time.time()), body.user)
    if k:  # a request that cannot be answered must not store its click
        for version in slot.served:  # the user of the stored session decides on an arm
            version.recommender.check(k, rules)
        app.asgi.charge(request.scope, request_cost(1, n_items, explain=body.explain) - 1)
        for version in slot.served:
            _check_capacity(app, version, body, n_items)
    session, lost = await _store_click(app, session_id, click, body.history)
    loaded, arm = slot.assign(session_id, session.user) if slot.split else (loaded, arm)
    past, failed = ([], False) if lost else await record_click(app, session_id, session)
    recommendation = answer = None
    try:
        if k:
            resolved = loaded.recommender.resolve(
                RecommendationRequest(
                    session.items, k, times=session.times, user=session.user,
                    rules=rules, explain=body.explain,
                    history=past if reads_history(loaded) else (),
                )
            )  # fmt: skip
            n_clicks = len(session.clicks) + sum(len(earlier.items) for earlier in past)
            cost = request_cost(n_clicks, n_items, explain=body.explain)
            (answer,) = await app.answer(loaded, [resolved], [cost], request.scope)
            titled = session.items if body.titles else None
            recommendation = recommend_response(
                slot, loaded, answer, titled=titled, degraded=lost or failed
            )
    finally:  # the click is stored, even if there is no answer
        if app.event_log is not None:
            app.event_log.add(
                session=session_id, user=session.user, seconds=session.clicks[-1].time,
                answered_by=(slot.name, loaded.version.name), item=click.item,
                items=[] if recommendation is None else recommendation.items,
                propensity=None if answer is None else answer[0].propensity, arm=arm,
            )  # fmt: skip
    n_stored = 1 if lost else len(session.clicks)
    return schemas.EventResponse(n_stored, lost or failed, recommendation)


def _check_capacity(app: App, loaded: LoadedModel, body: schemas.EventRequest, k: int) -> None:
    """Check that the queue has room for the session, however long it is."""
    longest = max(app.settings.session_clicks, len(body.history) + 1)
    if reads_history(loaded) and app.visitors is not None:
        longest += EARLIER_SESSIONS * MAX_EARLIER_CLICKS
    cost, max_batch = request_cost(longest, k, explain=body.explain), app.settings.max_batch
    app.check_capacity(loaded, min(cost, max_batch))
    if cost > max_batch:
        app.check_capacity(loaded, cost)


async def _store_click(
    app: App, session_id: str, click: Click, history: Sequence[RawId]
) -> tuple[Session, bool]:
    """The session with a new click; if the store fails, that of the request, and True."""
    try:
        return await app.store.append(session_id, click), False
    except SessionStoreError as error:
        app.click_lost(error)
        return Session([*(Click(item, click.time) for item in history), click]), True


@operation(
    "GET", "/v1/sessions/{id}",
    response=schemas.SessionResponse, parameters=("id",), access="token", problems=(404, 422, 503),
)  # fmt: skip
async def get_session(app: App, request: Request, body: None) -> schemas.SessionResponse:
    """The stored clicks of a live session."""
    del body
    session_id = _session_id(request)
    try:
        session = await app.store.get(session_id)
    except SessionStoreError as error:
        raise store_unavailable(app, error) from None
    if session is None:
        raise _not_found()
    items, user = session.items, session.user
    if app.settings.ids_as_text:
        items, user = [str(item) for item in items], None if user is None else str(user)
    clicks = [
        schemas.ClickResponse(item, seconds)
        for item, seconds in zip(items, session.times, strict=True)
    ]
    return schemas.SessionResponse(session_id, clicks, user)


@operation(
    "DELETE", "/v1/sessions/{id}", parameters=("id",), access="token", problems=(404, 422, 503)
)
async def delete_session(app: App, request: Request, body: None) -> None:
    """Delete a live session, and its clicks in the history of its visitor."""
    del body
    session_id = _session_id(request)
    try:
        existed = await app.store.delete(session_id)
        if app.visitors is not None:
            existed = await app.visitors.delete_session(session_id) or existed
    except SessionStoreError as error:
        raise store_unavailable(app, error) from None
    if not existed:
        raise _not_found()


def _session_id(request: Request) -> str:
    """The id in the path.

    Raises:
        RequestError: it is not a valid session id.
    """
    session_id: str = request.path_params["id"]
    if not _SESSION_ID.fullmatch(session_id):
        raise RequestError(
            "id must be 1 to 128 letters, digits or . _ ~ -; choose another session id",
            field="id",
        )
    return session_id


def _click_time(seconds: float | None, now: float) -> float:
    """The time of a click. Later clicks are not before it, so it must not be far in the future.

    Raises:
        RequestError: it is more than a day ahead.
    """
    if seconds is None:
        return now
    if seconds > now + _MAX_AHEAD:
        raise RequestError(
            f"time must be in seconds since 1970 and at most a day from now, got {seconds:g}; "
            "omit it to use the clock of the server",
            field="time",
        )
    return seconds


def _not_found() -> RequestError:
    return RequestError("the session does not exist or has expired; a click creates it", status=404)


def store_unavailable(app: App, error: SessionStoreError) -> RequestError:
    """The error of a request that cannot be answered without the store."""
    app.store_failed(error)
    return RequestError(
        "the session store does not respond; retry in a second", status=503, retry_after=1
    )
