"""Random invalid requests, sent as fast as a server answers: the fuzz test of serve_drills.py.

Requests come in blocks of a thousand, each drawn from (seed, block), so that a run can resume and
any request can be reproduced.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from http_stream import BadResponseError, HttpStream
from server_process import Client, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextclick.core.types import RawId

BLOCK = 1000
CONNECTIONS = 16
KEPT = 20  # requests with a fault of the server that are written down
_WAIT = 10.0  # seconds for an answer
_HEADERS = (
    "Expect: 100-continue", "Origin: null", "Accept: nothing/*", "X-Forwarded-For: ::::",
    "Content-Encoding: gzip",
)  # fmt: skip
_METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "post", "G\tT", "X" * 99)


class Requests:
    """Draws requests for the routes and fields of an OpenAPI document."""

    def __init__(self, document: dict[str, Any], items: list[RawId], host: str, token: str):
        self._routes = [
            (method.upper(), path) for path, told in document["paths"].items() for method in told
            if method in ("get", "post", "delete", "put")
        ]  # fmt: skip
        schemas = document["components"]["schemas"]
        asked = {name: told for name, told in schemas.items() if name.endswith("Request")}
        self._fields = sorted({f for told in asked.values() for f in told.get("properties", {})})
        self._items, self._host, self._token = items, host, token

    def block(self, seed: int, number: int) -> Iterator[bytes]:
        """A thousand of them."""
        rng = random.Random(f"{seed}-{number}")
        for _ in range(BLOCK):
            yield self._one(rng)

    def _one(self, rng: random.Random) -> bytes:
        method, path = rng.choice(self._routes)
        if rng.random() < 0.6:  # most go where a model is asked
            method, path = (
                "POST",
                rng.choice(("/v1/recommend", "/v1/recommend/batch", "/v1/sessions/{id}/events")),
            )
        while "{" in path:
            start, end = path.index("{"), path.index("}")
            path = path[:start] + self._name(rng) + path[end + 1 :]
        if method == "GET" and rng.random() < 0.5:
            path += "?" + "&".join(
                f"{rng.choice(('q', 'limit', 'model', 'x'))}={quote(self._text(rng), safe='')}"
                for _ in range(rng.randint(1, 3))
            )
        if rng.random() < 0.03:
            path = rng.choice(("/", "//", "/v1", "/..", "/%00", "/v1/recommend/", "/" + "a" * 5000))
        if rng.random() < 0.04:
            method = rng.choice(_METHODS)
        return self._encoded(rng, method, path)

    def _encoded(self, rng: random.Random, method: str, path: str) -> bytes:
        content = self._content(rng, path)
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        if rng.random() < 0.9:
            head.append(f"Authorization: Bearer {self._token}")
        elif rng.random() < 0.5:
            head.append(f"Authorization: {rng.choice(('Bearer', 'Basic x', 'Bearer é', ''))}")
        if rng.random() < 0.1:
            kind = rng.choice(("text/plain", "application/json; charset=latin1", "x" * 300))
            head.append(f"Content-Type: {kind}")
        if rng.random() < 0.02:
            head.append(rng.choice(_HEADERS))
        if rng.random() < 0.05 and content:
            size = rng.randint(1, len(content))
            parts = [content[at : at + size] for at in range(0, len(content), size)]
            head.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        else:
            head.append(f"Content-Length: {len(content)}")
            body = content
        return "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body

    def _content(self, rng: random.Random, path: str) -> bytes:
        """A body: often what it should be but for some fields, then some bytes of it changed."""
        kind = rng.random()
        if kind < 0.05:
            return rng.randbytes(rng.randint(0, 200))
        if kind < 0.07:
            return b"[" * rng.choice((10, 1000, 100_000)) + b"]" * rng.randint(0, 10)
        body: Any = self._event(rng) if "events" in path else self._asked(rng)
        if "batch" in path:
            body = {"requests": [self._asked(rng) for _ in range(rng.choice((0, 1, 2, 5)))]}
        if "activate" in path:
            body = {"version": self._text(rng)}
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 4))):
            body[rng.choice((*self._fields, "other"))] = self._value(rng, 3)
        content = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            changed = bytearray(content)
            for _ in range(rng.randint(1, 4)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            content = bytes(changed)
        if rng.random() < 0.03:
            content = content[: rng.randrange(len(content) + 1)]
        return content

    def _asked(self, rng: random.Random) -> dict[str, Any]:
        n = rng.choice((1, 1, 2, 3, 5, 8, 30, 1000, 1001)) if rng.random() < 0.3 else 3
        body: dict[str, Any] = {"session": [self._item(rng) for _ in range(n)]}
        if rng.random() < 0.7:
            body["k"] = rng.choice((1, 5, 20, 100, 1000, 1001, 0, -1))
        if rng.random() < 0.3:
            times = [rng.uniform(0, 1e5) for _ in range(n)]
            body["times"] = sorted(times) if rng.random() < 0.8 else times
            body["now"] = rng.choice((1e5, 2e5, 0.0, 1e15, -1e15, 1e300))
        return body | self._options(rng)

    def _event(self, rng: random.Random) -> dict[str, Any]:
        body: dict[str, Any] = {"item": self._item(rng), "k": rng.choice((0, 1, 5, 20))}
        if rng.random() < 0.3:
            body["time"] = rng.choice((0.0, 1.5e9, 1.8e9, -1e15, 1e15, rng.uniform(0, 2e9)))
        if rng.random() < 0.2:
            body["history"] = [self._item(rng) for _ in range(rng.randint(0, 5))]
        return body | self._options(rng)

    def _options(self, rng: random.Random) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if rng.random() < 0.1:
            body["user"] = self._item(rng)
        for name in ("exclude_seen", "explain"):
            if rng.random() < 0.2:
                body[name] = rng.random() < 0.5
        for name in ("allow", "block"):
            if rng.random() < 0.1:
                n = rng.choice((0, 1, 10, 1000))
                body[name] = [self._item(rng) for _ in range(n)]
        return body

    def _item(self, rng: random.Random) -> Any:
        return rng.choice(self._items) if rng.random() < 0.95 else self._value(rng, 0)

    def _name(self, rng: random.Random) -> str:
        if rng.random() < 0.9:
            return f"fuzz-{rng.randint(0, 5000)}"
        return quote(self._text(rng), safe="")

    def _text(self, rng: random.Random) -> str:
        return rng.choice((
            "", "\x00", "é", "a" * 300, "%", "../..", "m", "1", "-1", "💥", "x\r\ny", "\ud800"[:0],
            "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(rng.randint(1, 20))),
        ))  # fmt: skip

    def _value(self, rng: random.Random, depth: int) -> Any:
        if depth and rng.random() < 0.3:
            inner = [self._value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
            return inner if rng.random() < 0.6 else {rng.choice(self._fields): v for v in inner}
        return rng.choice((
            None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308,
            float("nan"), float("inf"), self._text(rng), "\ud83d", "a" * 100_000,
        ))  # fmt: skip


def fuzz(
    url: str, items: list[RawId], n: int, seed: int, token: str, progress: Path
) -> dict[str, Any]:
    """Send n requests, going on where the file `progress` says.

    Returns:
        answers by status, connections that ended without one, and the requests of 5xx.
    """
    with Client(url) as client:
        document = client.get("/openapi.json")
    authority = HttpStream.to(url).authority
    requests = Requests(document, items, authority, token)
    found: dict[str, Any] = {"seed": seed, "blocks": 0, "statuses": {}, "faults": []}
    if progress.exists():
        found = json.loads(progress.read_text())
    while found["blocks"] * BLOCK < n:
        block = list(requests.block(seed, found["blocks"]))
        counts, faults = asyncio.run(_send(url, block))
        total = Counter(found["statuses"])
        total.update(counts)
        found["statuses"] = dict(sorted(total.items()))
        found["faults"] = [*found["faults"], *faults][:KEPT]
        found["blocks"] += 1
        write_json(progress, found)
        if found["blocks"] % 20 == 0:
            print(f"{found['blocks'] * BLOCK:,}: {found['statuses']}", file=sys.stderr)
    statuses = found["statuses"]
    bad = sum(m for kind, m in statuses.items() if kind.startswith("5") and kind != "503")
    return {
        "requests": sum(statuses.values()), "seed": seed, "statuses": statuses,
        "server_errors": bad, "overload_503": statuses.get("503", 0), "faults": found["faults"],
    }  # fmt: skip


async def _outcome(stream: HttpStream, request: bytes) -> tuple[str, bytes]:
    """Status and body of the answer, or what became of the connection."""
    try:
        async with asyncio.timeout(_WAIT):
            status, body = await stream.send(request)
    except TimeoutError:
        return "no answer", b""
    except (OSError, EOFError, ValueError, BadResponseError) as error:
        return type(error).__name__, b""
    return str(status), body


async def _send(url: str, block: list[bytes]) -> tuple[Counter[str], list[dict[str, str]]]:
    """What came of each request of a block."""
    counts: Counter[str] = Counter()
    faults: list[dict[str, str]] = []
    left = iter(block)

    async def calls() -> None:
        stream = HttpStream.to(url)
        for request in left:
            kind, body = await _outcome(stream, request)
            counts[kind] += 1
            if not kind.isdigit() or (kind.startswith("5") and kind != "503"):
                shown = {"kind": kind, "request": repr(request[:2000]), "answer": repr(body[:500])}
                faults.append(shown)
        stream.close()

    await asyncio.gather(*(calls() for _ in range(CONNECTIONS)))
    return counts, faults
