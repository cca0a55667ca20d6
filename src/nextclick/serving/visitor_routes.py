"""Routes of the earlier sessions of a visitor, which the server stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.errors import RequestError
from nextclick.serving import schemas
from nextclick.serving.operations import operation
from nextclick.serving.session_routes import store_unavailable
from nextclick.serving.sessions.session_store import SessionStoreError

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextclick.serving.app import App


@operation(
    "GET", "/v1/visitors/{user}",
    response=schemas.VisitorResponse, parameters=("user",), access="token",
    problems=(404, 422, 503),
)  # fmt: skip
async def get_visitor(app: App, request: Request, body: None) -> schemas.VisitorResponse:
    """The stored sessions of a visitor."""
    del body
    user = _user(request)
    try:
        past = None if app.visitors is None else await app.visitors.before(user, float("inf"))
    except SessionStoreError as error:
        raise store_unavailable(app, error) from None
    if not past:
        raise _not_found()
    sessions = [
        schemas.EarlierSession(
            session=[str(item) for item in one.items] if app.settings.ids_as_text else one.items,
            time=one.end,
            times=one.times,
        )
        for one in past
    ]
    return schemas.VisitorResponse(user, sessions)


@operation(
    "DELETE", "/v1/visitors/{user}", parameters=("user",), access="token", problems=(404, 422, 503)
)
async def delete_visitor(app: App, request: Request, body: None) -> None:
    """Delete the stored sessions of a visitor, the live ones included."""
    del body
    user = _user(request)
    try:
        ids = None if app.visitors is None else await app.visitors.delete_visitor(user)
        for session_id in ids or ():
            await app.store.delete(session_id)
    except SessionStoreError as error:
        raise store_unavailable(app, error) from None
    if ids is None:
        raise _not_found()


def _user(request: Request) -> str:
    """The user in the path.

    Raises:
        RequestError: it is too short or too long.
    """
    user: str = request.path_params["user"]
    if not 1 <= len(user) <= schemas.MAX_TEXT:
        raise RequestError(
            f"user must have 1 to {schemas.MAX_TEXT} characters, got {len(user)}; send the id of "
            "a visitor",
            field="user",
        )
    return user


def _not_found() -> RequestError:
    return RequestError(
        "no session of this visitor is stored; a click with this user creates one, if a served "
        "model reads earlier sessions",
        status=404,
    )
