"""The HTTP/1.1 protocol of the server: limits that apply before a request reaches the application.

Headers are bounded in size, number and time, and connections in number: a new one replaces the one
that has been idle for the longest. If too many requests are being answered, further ones are
rejected as soon as their headers have arrived: a prepared response is written at once, and neither
a task nor the application is involved, nor the parser if the whole request has arrived. Errors of
the HTTP parser are problem objects.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from nextclick.serving.connection_expiry import ExpiryQueue
from nextclick.serving.problem_details import problem_response
from nextclick.serving.request_load import RequestLoad, is_plain_post

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from nextclick.serving.settings import Settings

_MAX_HEADERS = 100
_KEEP_ALIVE = 5.0  # seconds until an idle connection is closed
_PROBES = frozenset({"/healthz", "/readyz"})  # started before waiting requests
_MAX_UNREAD = 1 << 16  # bytes
_OVERLOADED = "the server is overloaded; retry in a second"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded_protocol` makes the class for some settings.

    Attributes:
        settings: the limits.
        load: the requests of this process.
        heads: connections whose request line and headers have not arrived.
        idle: connections that wait for a next request.
        is_shutting_down: whether responses close their connection.
        accept_more: accepts waiting connections.
    """

    settings: Settings
    load: RequestLoad
    heads: ExpiryQueue[BoundedProtocol]
    idle: ExpiryQueue[BoundedProtocol]
    is_shutting_down: Callable[[], bool]
    accept_more: Callable[[], None]

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self._in_head = True  # whether request line and headers are being read
        self._received = 0  # bytes of chunks that contain an incomplete head
        self._head_bytes = 0  # of complete headers
        self._n_headers = 0
        self._skipped: int | None = None  # body bytes of a rejected request; None if not rejected
        self._reading_body = False
        self._closed = False

    @classmethod
    def reject_accepted(cls, connection: socket.socket, n_running: int) -> bool:
        """Reject the request that a new connection has sent already, if the load is full.

        The response closes the connection, which is cheaper than a transport for each of thousands
        of connections that arrive at once.

        Args:
            connection: a connection that was just accepted; it stays open if the result is False.
            n_running: number of requests that are being answered.
        """
        if not cls.load.is_full(n_running) or cls.is_shutting_down():
            return False
        with suppress(OSError):
            data = connection.recv(_MAX_UNREAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if is_plain_post(data, cls.settings):
                connection.recv(_MAX_UNREAD, socket.MSG_DONTWAIT)  # unread bytes would reset it
                connection.send(_response(503, _OVERLOADED, 1, True), socket.MSG_DONTWAIT)
                connection.close()
                cls.load.on_reject()
                return True
        return False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request, unless there are too many connections."""
        super().connection_made(transport)
        self.accept_more()
        is_one_too_many = len(self.connections) > self.settings.max_connections
        if is_one_too_many and not (self.idle.expire_oldest() or self.heads.expire_oldest()):
            self._reject_connection()
        else:
            self.heads.add(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what the connection holds."""
        self._closed = True
        self._stop_timers()
        self._set_reading_body(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and limit the size of an incomplete head."""
        if self._closed:
            return
        self.idle.discard(self)
        if self._in_head:
            if not self._received and self._is_rejected_unparsed(data):
                self._reject_overload(close=False)
                self.heads.discard(self)
                self.idle.add(self, self.loop)
                return
            self._received += len(data)
        super().data_received(data)
        if self._closed or not self._in_head or not self._received:
            return
        if self._received > self.settings.max_header_bytes:
            self._reject_head()
        elif self not in self.heads:
            self.heads.add(self, self.loop)

    def on_message_begin(self) -> None:
        """Reset the counts of a head."""
        self._head_bytes = self._n_headers = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; headers over the limit are not stored."""
        self._head_bytes += len(name) + len(value) + 4
        self._n_headers += 1
        if not self._is_head_too_large():
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Reject the request, or hand it to the application."""
        self._in_head, self._received = False, 0
        self.heads.discard(self)
        if self._closed:
            self._skipped = 0  # of a pipelined request after a rejected one
        elif self._is_head_too_large():
            self._skipped = 0
            self._reject_head()
        elif self._is_overloaded():
            self._skipped = 0
            close = self.expect_100_continue or self.is_shutting_down()
            self._reject_overload(close=close or not self.parser.should_keep_alive())
        else:
            super().on_headers_complete()
            cycle = self.cycle
            self.scope["nextclick.connected"] = lambda: not cycle.disconnected  # type: ignore[typeddict-unknown-key]
            self._set_reading_body(True)

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body, unless the request is rejected."""
        if self._skipped is None:
            super().on_body(body)
            return
        self._skipped += len(body)
        if self._skipped > self.settings.max_bytes:
            self._close()

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._in_head = True
        if self._skipped is None:
            self._set_reading_body(False)
            super().on_message_complete()
        elif not self._closed:
            self.idle.add(self, self.loop)
        self._skipped = None

    def on_response_complete(self) -> None:
        """A request is answered, even if its body is incomplete."""
        self._set_reading_body(False)
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
            self.idle.add(self, self.loop)

    def send_400_response(self, msg: str) -> None:
        """Reject a request that is not HTTP."""
        del msg
        self._respond(400, "the request is not valid HTTP/1.1; send it with an HTTP client")
        self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start a request, or let it wait for its turn."""
        start = super()._start_asgi_task
        if cycle.scope["path"] in _PROBES:
            start(cycle, app)
        else:
            self.load.start(self.loop, lambda: start(cycle, app))

    def _is_overloaded(self) -> bool:
        return (
            self._has_answered()
            and self.parser.get_method() == b"POST"
            and self.load.is_full(len(self.tasks))
        )

    def _is_rejected_unparsed(self, data: bytes) -> bool:
        """Whether bytes are one whole request, which is rejected because of load."""
        return (
            self.load.is_full(len(self.tasks))
            and self._has_answered()
            and not self.is_shutting_down()
            and is_plain_post(data, self.settings)
        )

    def _has_answered(self) -> bool:
        """Whether all earlier requests of the connection, which may be pipelined, are answered."""
        return self.cycle is None or self.cycle.response_complete

    def _reject_overload(self, *, close: bool) -> None:
        self.load.on_reject()
        # uvloop otherwise writes after it has read from all connections
        self.transport.set_write_buffer_limits(0)
        self._respond(503, _OVERLOADED, retry_after=1, close=close)
        self.transport.set_write_buffer_limits()
        if close:
            self._close()

    def _reject_connection(self) -> None:
        n = self.settings.max_connections
        self._respond(503, f"the server has {n} connections; retry in a second", retry_after=1)
        self._close()

    def _is_head_too_large(self) -> bool:
        too_long = self._head_bytes > self.settings.max_header_bytes
        return too_long or self._n_headers > _MAX_HEADERS

    def _reject_head(self) -> None:
        self._respond(
            431,
            f"the request line and headers exceed {self.settings.max_header_bytes} bytes or "
            f"{_MAX_HEADERS} headers; send fewer",
        )
        self._close()

    def _stop_timers(self) -> None:
        self.heads.discard(self)
        self.idle.discard(self)

    def expire_head(self) -> None:
        """Close a connection whose head is incomplete."""
        if self._received:
            self._respond(
                408,
                f"the headers did not arrive within {self.settings.header_timeout:g} s; send them "
                "without a pause",
            )
        self._close()

    def _respond(
        self,
        status: int,
        message: str,
        *,
        retry_after: int | None = None,
        close: bool = True,
    ) -> None:
        """Write a problem, unless a response is being written."""
        if self._has_answered():
            self.transport.write(_response(status, message, retry_after, close))

    def _close(self) -> None:
        self._closed = True
        self._stop_timers()
        self.transport.close()

    def _set_reading_body(self, reading: bool) -> None:
        self.load.reading += reading - self._reading_body
        self._reading_body = reading


@lru_cache(maxsize=64)  # under load the same response is written over and over
def _response(status: int, message: str, retry_after: int | None, close: bool) -> bytes:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    response = problem_response(status, message, headers=headers)
    lines = [STATUS_LINE[status]]
    lines += [b"%b: %b\r\n" % header for header in response.raw_headers]
    lines.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join([*lines, bytes(response.body)])


def bounded_protocol(
    settings: Settings,
    on_reject: Callable[[], None],
    is_shutting_down: Callable[[], bool],
    accept_more: Callable[[], None],
) -> type[BoundedProtocol]:
    """The protocol class of a server.

    Args:
        settings: its limits.
        on_reject: called for each request that is rejected because of load.
        is_shutting_down: whether the server is about to stop.
        accept_more: accepts waiting connections; called for each new connection.
    """

    class ServerProtocol(BoundedProtocol):
        pass

    ServerProtocol.settings = settings
    ServerProtocol.load = RequestLoad(settings.max_queue + settings.max_batch, on_reject)
    ServerProtocol.heads = ExpiryQueue(settings.header_timeout, BoundedProtocol.expire_head)
    ServerProtocol.idle = ExpiryQueue(_KEEP_ALIVE, BoundedProtocol.timeout_keep_alive_handler)
    ServerProtocol.is_shutting_down = staticmethod(is_shutting_down)
    ServerProtocol.accept_more = staticmethod(accept_more)
    return ServerProtocol
