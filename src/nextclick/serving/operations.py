"""Operations of the HTTP API: declared once, for routing and for the OpenAPI document."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from nextclick.errors import RequestError
from nextclick.serving.problem_details import decode_json, error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from nextclick.serving.app import App
    from nextclick.serving.settings import Settings

    Handler: TypeAlias = Callable[[App, Request, Any], Awaitable[Any]]

Access: TypeAlias = Literal["public", "token", "admin"]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Operation:
    """A method of a route.

    Attributes:
        method: GET, POST or DELETE.
        path: with parameters in braces.
        handler: called with the app, the request and the decoded body; returns a response struct,
            None for status 204, or a `Response`. Its docstring is the summary.
        body: schema of the request body, or None.
        response: schema of the response body, or None.
        parameters: names of path and query parameters, see `openapi.PARAMETERS`.
        access: "public"; "token" needs the token if the server has one; "admin" always needs it.
        problems: error statuses besides those that follow from the other attributes.
    """

    method: str
    path: str
    handler: Handler
    body: type[msgspec.Struct] | None
    response: Any
    parameters: tuple[str, ...]
    access: Access
    problems: tuple[int, ...]

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0]

    @property
    def needs_models(self) -> bool:
        """Whether the models must be loaded."""
        return self.path.startswith("/v1/")

    @property
    def statuses(self) -> list[int]:
        """All error statuses."""
        statuses = {*self.problems}
        if self.needs_models:
            statuses |= {421, 429, 503}
        if self.method != "GET":
            statuses.add(403)
        if self.body is not None:
            statuses |= {400, 408, 413, 422}
        if self.access != "public":
            statuses.add(401)
        if self.access == "admin":
            statuses.add(403)
        return sorted(statuses)

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """The decoder of the request body."""
        return msgspec.json.Decoder(self.body)


def operation(
    method: str,
    path: str,
    *,
    body: type[msgspec.Struct] | None = None,
    response: Any = None,
    parameters: tuple[str, ...] = (),
    access: Access = "public",
    problems: tuple[int, ...] = (),
) -> Callable[[Handler], Operation]:
    """Decorate a handler; see `Operation`."""

    def decorate(handler: Handler) -> Operation:
        return Operation(method, path, handler, body, response, parameters, access, problems)

    return decorate


def endpoint(app: App, operations: Iterable[Operation]) -> Callable[[Request], Awaitable[Response]]:
    """The Starlette endpoint of the operations of one path."""
    by_method = {operation.method: operation for operation in operations}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]

    async def respond(request: Request) -> Response:
        operation = by_method[request.method]
        request.scope["nextclick.route"] = operation.path
        try:
            return await _run(app, operation, request)
        except ClientDisconnect:
            raise  # there is no client to respond to
        except Exception as error:  # every failure becomes an error response
            return error_response(error)

    return respond


async def _run(app: App, operation: Operation, request: Request) -> Response:
    _authorize(operation.access, request, app.settings.token)
    if operation.needs_models:
        app.check_loaded()  # before the body is read
    body = None
    if operation.body is not None:
        length = request.headers.get("content-length", "")
        app.check_body(int(length) if length.isdecimal() else 0)
        content = await _read_body(request, app.settings)
        app.check_body(len(content))  # others may have been admitted meanwhile
        body = decode_json(content, operation.decoder)
    result = await operation.handler(app, request, body)
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204)
    return Response(_encode(result), media_type="application/json")


def has_token(request: Request, token: str | None) -> bool:
    """Whether a request sends the token of the server, or the server has none."""
    if token is None:
        return True
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = credentials.strip(" ").encode("latin-1", "replace")
    return hmac.compare_digest(given, token.encode()) and scheme.lower() == "bearer"


def _authorize(access: Access, request: Request, token: str | None) -> None:
    """Check the token of a request.

    Raises:
        RequestError: the token is missing or wrong, or the server has none.
    """
    if access == "public":
        return
    if token is None and access == "admin":
        raise RequestError(
            "this route is disabled because the server has no token; start it with --token-file",
            status=403,
        )
    if not has_token(request, token):
        raise RequestError(
            "this route needs the token of the server; send Authorization: Bearer TOKEN",
            status=401,
        )


async def _read_body(request: Request, settings: Settings) -> bytes:
    """Read the request body.

    Raises:
        RequestError: it is too large or arrives too slowly.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(settings.timeout):
            async for part in request.stream():
                size += len(part)
                if size > settings.max_bytes:
                    raise RequestError(
                        f"the body is larger than {settings.max_bytes} bytes; send a smaller body",
                        status=413,
                    )
                parts.append(part)
    except TimeoutError:
        raise RequestError(
            f"the body did not arrive within {settings.timeout:g} s; send it without a pause",
            status=408,
        ) from None
    return b"".join(parts)
