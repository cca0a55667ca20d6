"""ASGI middleware for all routes: access rules, rate limit, security headers, metrics, log."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from nextclick.errors import RequestError
from nextclick.serving.access import AccessRules
from nextclick.serving.problem_details import error_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextclick.serving.prometheus import ServerMetrics
    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_MAX_ADDRESSES = 100_000
_UNLIMITED_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
_CLIENT_CLOSED_REQUEST = 499
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_MAX_ORIGINS = 20  # of pictures; a longer header may exceed the limit of a proxy


def _always() -> bool:
    return True


@cache
def content_policy(image_origins: tuple[str, ...]) -> bytes:
    """The Content-Security-Policy: nothing inline, nothing from other hosts but pictures.

    Args:
        image_origins: origins of the pictures in the item file; above `_MAX_ORIGINS`, pictures may
            come from any host.
    """
    several = len(image_origins) > _MAX_ORIGINS
    pictures = " ".join(("'self'", "data:", *(("https:", "http:") if several else image_origins)))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {pictures}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


class RateLimiter:
    """A token bucket for each address: `burst` tokens at once, then `rate` per second.

    A request takes as many tokens as it costs. One that costs more than `burst` needs a full
    bucket, and leaves a debt.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, updated at

    def acquire(self, address: str, cost: int = 1) -> float:
        """Take the tokens of a request; returns 0, or the seconds until they are available."""
        now = self._clock()
        tokens, updated = self._buckets.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - updated) * self._rate)
        needed = min(float(cost), self._burst)
        exhausted = tokens < needed
        self._buckets[address] = (tokens if exhausted else tokens - cost, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return (needed - tokens) / self._rate if exhausted else 0.0


class ServerMiddleware:
    """Wraps the application.

    Attributes:
        shutting_down: the server is about to stop: responses close their connection.
        image_origins: returns the origins of the pictures that the page may load.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: ServerMetrics):
        self.app = app
        self.shutting_down = False
        self.image_origins: Callable[[], tuple[str, ...]] = tuple
        self._settings = settings
        self._metrics = metrics
        self._access = AccessRules(settings)
        self._limiter = RateLimiter(settings.rate, settings.burst) if settings.rate > 0 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                duration = f"app;dur={(time.perf_counter() - start) * 1e3:.2f}".encode()
                timing = (b"server-timing", duration)
                policy = (b"content-security-policy", content_policy(self.image_origins()))
                message["headers"] = [*message.get("headers", ()), *_HEADERS, policy, timing]
                if self.shutting_down:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            self._admit(scope)
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = status or _CLIENT_CLOSED_REQUEST
        except RequestError as error:
            await error_response(error)(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - start)

    def _admit(self, scope: Scope) -> None:
        if not scope.get("nextclick.connected", _always)():
            raise ClientDisconnect  # the client left while the request waited for its turn
        self._access.check(scope)
        if scope["path"] not in _UNLIMITED_ROUTES:
            self.charge(scope, 1)

    def charge(self, scope: Scope, cost: int) -> None:
        """Count a cost against the rate limit of the client.

        Raises:
            RequestError: the client has exceeded it.
        """
        if self._limiter is None or cost == 0:
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._limiter.acquire(address, cost)
        if wait > 0.0:
            self._metrics.rejected.labels("rate").inc()
            raise RequestError(
                f"more than {self._settings.rate:g} requests of ordinary cost per second from "
                "this address; retry after the seconds given in Retry-After",
                status=429,
                retry_after=int(wait) + 1,
            )

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("nextclick.route", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if self._settings.log_requests:
            ids = self._settings.log_ids
            client, path = (scope.get("client"), scope["path"]) if ids else ("-", route)
            log.info("%s %s %s %d %.1f ms", client, scope["method"], path, status, seconds * 1e3)
