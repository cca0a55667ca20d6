"""Errors as RFC 9457 has them: one JSON shape for all that a request can do wrong."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.responses import Response

from nextclick.errors import InputError, RequestError
from nextclick.serving.schemas import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.exceptions import HTTPException

T = TypeVar("T")
log = logging.getLogger("nextclick.serving")

_REMEDIES = {
    400: "send a JSON object in UTF-8",
    404: "see /docs for what there is",
    405: "use a method that the Allow header names",
    413: "send less at once",
    422: "see /docs for what this field takes",
    500: "this is a fault of nextclick; please report it with the log of the server",
}
_AT = re.compile(r" - at `(?P<path>[^`]*)`$")


def problem(
    status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that cannot be answered.

    Args:
        status: of the answer.
        message: the problem, and after the last "; " what to do about it.
        field: the part of the request that is at fault.
        headers: of the answer.
    """
    what, separator, remedy = message.rpartition("; ")
    if not separator:
        what, remedy = message, _REMEDIES.get(status, _REMEDIES[422])
    phrase = HTTPStatus(status).phrase
    told = Problem(
        type=f"urn:nextclick:problem:{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status,
        detail=f"{what}; {remedy}",
        field=field,
        problem=what,
        remedy=remedy,
    )
    return Response(
        msgspec.json.encode(told), status, headers, media_type="application/problem+json"
    )


def of_error(error: InputError) -> Response:
    """The answer that an error of the tree comes to."""
    if not isinstance(error, RequestError):
        return problem(422, str(error), field_in(str(error)))
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.status, str(error), error.field, headers)


def read_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode the body of a request.

    Raises:
        RequestError: it is no JSON, or not of the form that is asked for.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _AT.search(text)
        path = found["path"].removeprefix("$").removeprefix(".") if found else ""
        what = _AT.sub("", text)
        raise RequestError(
            f"{path or 'the body'}: {what[:1].lower()}{what[1:]}; see /docs for what it takes",
            field=path or None,
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"the body is not JSON in UTF-8: {error}; send a JSON object", status=400
        ) from None


def field_in(message: str) -> str | None:
    """The field that a message begins with."""
    first = message.partition(" ")[0]
    if message.startswith("a session"):
        return "session"
    return first if first in ("k", "times", "now", "allow", "block") else None


def as_answer(error: Exception) -> Response:
    """What a client is told of an error; one that is no fault of a request is logged."""
    if isinstance(error, InputError):
        return of_error(error)
    log.error("a request failed", exc_info=error)
    return problem(500, "the server failed on this request")


def of_http_error(error: HTTPException) -> Response:
    """What Starlette finds wrong: no such route, or another method."""
    what = {404: "there is no such route", 405: "the route has no such method"}
    message = what.get(error.status_code, str(error.detail))
    return problem(error.status_code, message, headers=error.headers)
