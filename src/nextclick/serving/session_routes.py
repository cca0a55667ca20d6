"""Routes of live sessions, whose clicks the server stores."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from nextclick.errors import RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation
from nextclick.serving.recommend_routes import default_k, recommend_response
from nextclick.serving.request import RecommendationRequest
from nextclick.serving.sessions.session_store import Click, Session, StoreUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App

_SESSION_ID = re.compile(schemas.SESSION_ID)


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
    loaded = slot.loaded
    k = default_k(body.k, loaded)
    if k:  # a request that cannot be answered must not store its click
        loaded.recommender.check(k, body.allow, body.block)
        app.batcher(loaded).check_capacity(1)
    click = Click(body.item, time.time() if body.time is None else body.time, body.user)
    degraded = False
    try:
        session = await app.store.append(session_id, click)
    except StoreUnavailableError as error:
        app.store_failed(error)
        degraded = True
        session = Session([*(Click(item, click.time) for item in body.history), click])
    recommendation = None
    if k:
        resolved = loaded.recommender.resolve(
            RecommendationRequest(
                session.items,
                k,
                times=session.times,
                user=session.user,
                exclude_seen=body.exclude_seen,
                allow=body.allow,
                block=body.block,
                explain=body.explain,
                session_id=None if degraded else session_id,
            )
        )
        (answer,) = await app.answer(loaded, [resolved])
        titled = session.items if body.titles else None
        recommendation = recommend_response(slot, loaded, answer, titled=titled, degraded=degraded)
    return schemas.EventResponse(1 if degraded else len(session.clicks), degraded, recommendation)


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
    except StoreUnavailableError as error:
        raise _unavailable(app, error) from None
    if session is None:
        raise _not_found()
    clicks = [
        schemas.ClickResponse(item, seconds)
        for item, seconds in zip(session.items, session.times, strict=True)
    ]
    return schemas.SessionResponse(session_id, clicks, session.user)


@operation(
    "DELETE", "/v1/sessions/{id}", parameters=("id",), access="token", problems=(404, 422, 503)
)
async def delete_session(app: App, request: Request, body: None) -> None:
    """Delete a live session."""
    del body
    session_id = _session_id(request)
    try:
        existed = await app.store.delete(session_id)
    except StoreUnavailableError as error:
        raise _unavailable(app, error) from None
    for slot in app.models.slots.values():
        slot.loaded.recommender.searcher.forget(session_id)
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


def _not_found() -> RequestError:
    return RequestError("the session does not exist or has expired; a click creates it", status=404)


def _unavailable(app: App, error: StoreUnavailableError) -> RequestError:
    app.store_failed(error)
    return RequestError(
        "the session store does not respond; retry in a second", status=503, retry_after=1
    )
