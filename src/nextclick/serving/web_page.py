"""Serves the files of the web page on which a person tries a model."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DEFAULT_TYPE = "text/plain; charset=utf-8"  # license files


def page_routes() -> list[Route]:
    """Routes of the page `/`, its files `/page/…`, and the icon that browsers request."""
    return [
        Route("/", _index, methods=["GET"]),
        Route("/favicon.ico", _icon, methods=["GET"]),
        Route("/page/{name:path}", _file, methods=["GET"]),
    ]


async def _index(request: Request) -> Response:
    request.scope["nextclick.route"] = "/"
    return _answer(request, "index.html")


async def _icon(request: Request) -> Response:
    request.scope["nextclick.route"] = "/page"
    return _answer(request, "icon.svg")


async def _file(request: Request) -> Response:
    request.scope["nextclick.route"] = "/page"
    return _answer(request, request.path_params["name"])


def _answer(request: Request, name: str) -> Response:
    """A file, or 304 if the browser has it; browsers revalidate each time, so updates appear."""
    if name not in _files():
        raise HTTPException(404)
    body, media_type, etag = _files()[name]
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    cached = [
        one.strip().removeprefix("W/")
        for one in request.headers.get("If-None-Match", "").split(",")
    ]
    if etag in cached or "*" in cached:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Path in the folder to bytes, media type and ETag, about 60 kB in total."""
    contents = {}
    for name, file in _walk(files("nextclick.serving") / "page", ""):
        body = file.read_bytes()
        media_type = _TYPES.get("." + name.rpartition(".")[2], _DEFAULT_TYPE)
        contents[name] = (
            body,
            media_type,
            f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
        )
    return contents


def _walk(folder: Traversable, path: str) -> list[tuple[str, Traversable]]:
    paths = []
    for child in folder.iterdir():
        below = f"{path}{child.name}"
        paths += _walk(child, f"{below}/") if child.is_dir() else [(below, child)]
    return paths
