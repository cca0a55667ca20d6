"""What stands before every route: limits, headers, counters, and errors as answers."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from nextclick.errors import RequestError
from nextclick.serving.problem_details import of_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextclick.serving.prometheus import Metrics
    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_ADDRESSES = 100_000
_FREE = frozenset({"/healthz", "/readyz", "/metrics"})  # of the rate limit
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)


class Buckets:
    """A token bucket for each address: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def wait(self, address: str) -> float:
        """Take a token; 0 if there was one, else the seconds until there is."""
        now = self._clock()
        tokens, then = self._held.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        short = tokens < 1.0
        self._held[address] = (tokens if short else tokens - 1.0, now)
        if len(self._held) > _ADDRESSES:
            self._held.popitem(last=False)
        return (1.0 - tokens) / self._rate if short else 0.0


class Gate:
    """ASGI middleware around all routes.

    Attributes:
        drains: the server is about to stop: connections are closed after their answer.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        self.app = app
        self.drains = False
        self._settings = settings
        self._metrics = metrics
        self._buckets = Buckets(settings.rate, settings.burst) if settings.rate > 0 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sends(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ms = f"app;dur={(time.perf_counter() - began) * 1e3:.2f}".encode()
                timing = (b"server-timing", ms)
                message["headers"] = [*message.get("headers", ()), *_HEADERS, timing]
                if self.drains:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            self._limit(scope)
            await self.app(scope, receive, sends)
        except ClientDisconnect:
            status = status or 499  # nobody is left to be told
        except RequestError as error:
            await of_error(error)(scope, receive, sends)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _limit(self, scope: Scope) -> None:
        if self._buckets is None or scope["path"] in _FREE:
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._buckets.wait(address)
        if wait > 0.0:
            self._metrics.refused.labels("rate").inc()
            raise RequestError(
                f"more than {self._settings.rate:g} requests a second from this address; "
                "ask again after the seconds that Retry-After names",
                status=429,
                retry_after=int(wait) + 1,
            )

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("nextclick.route", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if self._settings.log_requests:
            shown = (scope.get("client"), scope["path"]) if self._settings.log_ids else ("-", route)
            log.info("%s %s %s %d %.1f ms", shown[0], scope["method"], shown[1], status,
                     seconds * 1e3)  # fmt: skip
