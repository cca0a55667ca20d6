"""The stored earlier sessions of the visitors of requests, for models that read them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nextclick.serving.operations import has_token
from nextclick.serving.schemas import EarlierSession
from nextclick.serving.session_body import SessionBody  # noqa: TC001 (a type variable)
from nextclick.serving.sessions.session_store import SessionStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request

    from nextclick.serving.app import App
    from nextclick.serving.model_slot import LoadedModel
    from nextclick.serving.sessions.session_store import Session
    from nextclick.serving.sessions.visitor_history import PastSession

T = TypeVar("T")


def reads_history(loaded: LoadedModel) -> bool:
    """Whether a model reads earlier sessions."""
    return loaded.recommender.artifact.model.capabilities.earlier_sessions > 0


async def record_click(
    app: App, session_id: str, session: Session
) -> tuple[list[PastSession], bool]:
    """Store the last click of a live session in the history of its visitor.

    Histories are stored only while a served model reads them.

    Returns:
        The earlier sessions of the visitor, and whether the store failed.
    """
    serves = any(reads_history(one) for slot in app.models.slots.values() for one in slot.served)
    if app.visitors is None or session.user is None or not serves:
        return [], False
    past = await _attempt(app, app.visitors.record(session_id, session))
    return past or [], past is None


async def with_stored_history(
    app: App, request: Request, loaded: LoadedModel, body: SessionBody
) -> tuple[SessionBody, bool]:
    """The request with the stored earlier sessions of its user, and whether the store failed.

    They are added if the request names a user and no history, and the start of its session is
    known: the first of `times`, or the moment of prediction of a session without clicks. A server
    with a token adds them only to requests that send it.
    """
    visitors, user = app.visitors, body.user
    if visitors is None or user is None or body.history or not reads_history(loaded):
        return body, False
    if not body.session:
        now = time.time() if body.now is None else body.now
        body, start = msgspec.structs.replace(body, now=now), now
    elif body.times:
        start = body.times[0]
    else:
        return body, False
    if not has_token(request, app.settings.token):
        return body, False
    past = await _attempt(app, visitors.before(user, start))
    history = [EarlierSession(session=one.items, times=one.times) for one in past or ()]
    return msgspec.structs.replace(body, history=history), past is None


async def _attempt(app: App, call: Awaitable[T]) -> T | None:
    """The result of a call to the store; None if the store failed."""
    try:
        return await call
    except SessionStoreError as error:
        app.store_failed(error)
        return None
