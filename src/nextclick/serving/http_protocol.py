"""The HTTP/1.1 protocol of the server: limits that apply before a request reaches the application.

Headers are bounded in size, number and time. If too many requests are being answered, further ones
are rejected as soon as their headers have arrived: a prepared response is written, and neither a
task nor the application is involved. Errors of the HTTP parser are problem objects.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from nextclick.serving.problem_details import problem_response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from nextclick.serving.settings import Settings

_MAX_HEADERS = 100


class RequestLoad:
    """The requests that a process answers, and the limit above which it rejects further ones.

    Attributes:
        limit: number of requests whose body has arrived.
        reading: number of requests whose body has not arrived.
    """

    def __init__(self, limit: int, on_reject: Callable[[], None]):
        self.limit = limit
        self.reading = 0
        self._on_reject = on_reject

    def rejects(self, n_running: int) -> bool:
        """Whether a request is rejected while others run, those with a missing body included."""
        if n_running - self.reading < self.limit:
            return False
        self._on_reject()
        return True


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded_protocol` makes the class for some settings.

    Attributes:
        settings: the limits.
        load: the requests of this process.
        is_shutting_down: whether responses close their connection.
        accept_more: accepts waiting connections.
    """

    settings: Settings
    load: RequestLoad
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
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request."""
        super().connection_made(transport)
        self._start_head_timer()
        self.accept_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what the connection holds."""
        self._closed = True
        self._stop_head_timer()
        self._set_reading_body(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and limit the size of an incomplete head."""
        if self._closed:
            return
        if self._in_head:
            self._received += len(data)
        super().data_received(data)
        if self._closed or not self._in_head or not self._received:
            return
        if self._received > self.settings.max_header_bytes:
            self._reject_head()
        elif self._head_timer is None:
            self._start_head_timer()

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
        self._stop_head_timer()
        if self._closed:
            self._skipped = 0  # of a pipelined request after a rejected one
        elif self._is_head_too_large():
            self._skipped = 0
            self._reject_head()
        elif self._is_overloaded():
            self._skipped = 0
            self._reject_overload()
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
        self._skipped = None

    def on_response_complete(self) -> None:
        """A request is answered, even if its body is incomplete."""
        self._set_reading_body(False)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Reject a request that is not HTTP."""
        del msg
        self._respond(400, "the request is not valid HTTP/1.1; send it with an HTTP client")
        self._close()

    def _is_overloaded(self) -> bool:
        idle = self.cycle is None or self.cycle.response_complete  # otherwise it is pipelined
        return idle and self.parser.get_method() == b"POST" and self.load.rejects(len(self.tasks))

    def _reject_overload(self) -> None:
        close = self.expect_100_continue or self.is_shutting_down()
        close = close or not self.parser.should_keep_alive()
        message = "the server is overloaded; retry in a second"
        self._respond(503, message, retry_after=1, close=close)
        if close:
            self._close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

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

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.settings.header_timeout, self._head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timeout(self) -> None:
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
        if self.cycle is not None and not self.cycle.response_complete:
            return
        self.transport.write(_response(status, message, retry_after, close))

    def _close(self) -> None:
        self._closed = True
        self._stop_head_timer()
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
    ServerProtocol.is_shutting_down = staticmethod(is_shutting_down)
    ServerProtocol.accept_more = staticmethod(accept_more)
    return ServerProtocol
