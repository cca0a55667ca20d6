"""The page on which a person tries a model: its files, as routes."""

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
_PLAIN = "text/plain; charset=utf-8"  # licenses


def page_routes() -> list[Route]:
    """`/`, and `/page/…` for what it loads; browsers ask for an icon on every page."""
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
    """A file, or 304 if the browser has it; it asks each time, so a new version is seen at once."""
    if name not in _files():
        raise HTTPException(404)
    body, kind, tag = _files()[name]
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = [
        one.strip().removeprefix("W/")
        for one in request.headers.get("If-None-Match", "").split(",")
    ]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Path below the folder to the bytes, the media type and the tag: some 60 kB in all."""
    found = {}
    for name, file in _walk(files("nextclick.serving") / "page", ""):
        body = file.read_bytes()
        kind = _TYPES.get("." + name.rpartition(".")[2], _PLAIN)
        found[name] = (body, kind, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
    return found


def _walk(folder: Traversable, path: str) -> list[tuple[str, Traversable]]:
    found = []
    for child in folder.iterdir():
        below = f"{path}{child.name}"
        found += _walk(child, f"{below}/") if child.is_dir() else [(below, child)]
    return found
