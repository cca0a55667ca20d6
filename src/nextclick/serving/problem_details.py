"""Error responses in the format of RFC 9457 (problem details)."""

from __future__ import annotations

import logging
import re
import traceback
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

_DEFAULT_REMEDIES = {
    400: "send a JSON object in UTF-8",
    404: "see /docs for the available routes",
    405: "use a method listed in the Allow header",
    413: "send a smaller body",
    422: "see /docs for the values of this field",
    500: "report this internal error with the log of the server",
}
_HTTP_PROBLEMS = {404: "the route does not exist", 405: "the route does not support this method"}
_JSON_PATH = re.compile(r" - at `(?P<path>[^`]*)`$")  # the end of a msgspec message
_FIELDS = (
    "session", "items", "k", "times", "now", "history", "allow", "block", "where", "boost", "pin",
    "cap", "diversity", "explore",
)  # fmt: skip


def problem_response(
    status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Build an error response.

    Args:
        status: HTTP status.
        message: the problem, and its remedy after the last "; ".
        field: the invalid part of the request.
        headers: of the response.
    """
    problem, separator, remedy = message.rpartition("; ")
    if not separator:
        problem, remedy = message, _DEFAULT_REMEDIES.get(status, _DEFAULT_REMEDIES[422])
    phrase = HTTPStatus(status).phrase
    body = Problem(
        type=f"urn:nextclick:problem:{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status,
        detail=f"{problem}; {remedy}",
        field=field,
        problem=problem,
        remedy=remedy,
    )
    return Response(
        msgspec.json.encode(body), status, headers, media_type="application/problem+json"
    )


def error_response(error: Exception) -> Response:
    """The response to an exception; an unexpected one is logged and becomes status 500."""
    if isinstance(error, RequestError):
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return problem_response(error.status, str(error), error.field, headers)
    if isinstance(error, InputError):
        return problem_response(422, str(error), message_field(str(error)))
    # without the message, which may contain ids of the request
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("a request failed with %s:\n%s", type(error).__name__, frames)
    return problem_response(500, "the server failed to process this request")


def http_error_response(error: HTTPException) -> Response:
    """The response to an error of Starlette: an unknown route or an unsupported method."""
    message = _HTTP_PROBLEMS.get(error.status_code, str(error.detail))
    return problem_response(error.status_code, message, headers=error.headers)


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode and validate a request body.

    Raises:
        RequestError: it is not JSON, or does not match the schema.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        match = _JSON_PATH.search(text)
        path = match["path"].removeprefix("$").removeprefix(".") if match else ""
        problem = _JSON_PATH.sub("", text)
        raise RequestError(
            f"{path or 'the body'}: {problem[:1].lower()}{problem[1:]}; see /docs for the schema",
            field=path or None,
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"the body is not JSON in UTF-8: {error}; send a JSON object", status=400
        ) from None


def message_field(message: str) -> str | None:
    """The request field that an error message begins with."""
    first = message.partition(" ")[0].removesuffix(":")
    return first if first in _FIELDS else None
