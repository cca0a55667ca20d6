"""The server of one process: accepts connections, loads the models, and stops gracefully."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from nextclick.serving.closing_port import refuse_handshakes
from nextclick.serving.http_protocol import bounded_protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from nextclick.serving.app import App

_FINAL_REQUEST_SECONDS = 1.0  # for a last request on connections that have been used
_HANDSHAKE_SECONDS = 0.1  # for handshakes that have begun
BACKLOG = 2048
_ACCEPTS = 64  # connections accepted after one that the event loop accepted
_REJECTS = 1024  # the most of them and of those that are rejected at once


class GracefulServer(uvicorn.Server):
    """Accepts requests while the models are loaded, and for a grace period after SIGTERM.

    The models are loaded on a thread, which takes long if kernels must be compiled. Until then
    requests are rejected at once, and /readyz returns 503.

    During this period responses close their connections and /readyz returns 503, so that clients
    and load balancers switch to another server without a failed request.

    Args:
        app: what answers.
        load: loads its models.
        owns_port: whether no other process accepts connections from the same socket.

    Attributes:
        load_error: why the models could not be loaded; the server then stops.
    """

    def __init__(self, app: App, load: Callable[[], None], *, owns_port: bool):
        settings = app.settings
        self.load_error: Exception | None = None
        self._load = load
        self._owns_port = owns_port
        self._middleware = app.asgi
        self._grace = settings.shutdown_grace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: tuple[socket.socket, ...] = ()
        self._has_accepted = False  # in this iteration of the event loop
        self._accepting: set[asyncio.Task[Any]] = set()
        self._protocol_class = bounded_protocol(
            settings,
            app.metrics.rejected.labels("queue").inc,
            lambda: app.asgi.shutting_down,
            self._accept_more,
        )
        super().__init__(
            uvicorn.Config(
                app.asgi,
                http=self._protocol_class,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies or "127.0.0.1",
                timeout_graceful_shutdown=int(settings.timeout) + 5,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and loading the models."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        threading.Thread(target=self._load_models, name="nextclick-loader", daemon=True).start()
        self._listeners = tuple(sockets or ())
        for listener in self._listeners:
            listener.setblocking(False)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept pending connections, close the port, finish open connections, then stop."""
        assert self._loop is not None
        if self._owns_port:
            for listener in self._listeners:
                refuse_handshakes(listener)
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        for _ in range(BACKLOG // _ACCEPTS):
            self._has_accepted = False
            self._accept_more()
        self._listeners = ()
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        deadline = self._loop.time() + _FINAL_REQUEST_SECONDS
        while self._accepting or self._has_open_request(deadline):
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    def _has_open_request(self, deadline: float) -> bool:
        """Whether a connection may send another request: a new one until its header timeout."""
        assert self._loop is not None
        if self._loop.time() < deadline:
            return bool(self.server_state.connections)
        return len(self._protocol_class.heads) > 0

    def _accept_more(self) -> None:
        """Accept some more connections in this iteration; the event loop accepts one.

        Requests on open connections are read between iterations, so that the load is known.
        """
        assert self._loop is not None
        if self._has_accepted:
            return
        self._has_accepted = True
        self._loop.call_soon(self._next_iteration)
        accepts, n_running = _ACCEPTS, len(self.server_state.tasks)
        for listener in self._listeners:
            for _ in range(_REJECTS):
                try:
                    connection = listener.accept()[0]
                except OSError:  # there is none
                    break
                if self._protocol_class.reject_accepted(connection, n_running):
                    continue
                connecting = self._loop.connect_accepted_socket(self._protocol, connection)
                task = self._loop.create_task(connecting)
                self._accepting.add(task)
                task.add_done_callback(self._accepting.discard)
                accepts -= 1
                if accepts == 0:
                    return

    def _next_iteration(self) -> None:
        self._has_accepted = False

    def _protocol(self) -> asyncio.Protocol:
        return self._protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the grace period; a second signal stops at once."""
        del sig, frame
        if self._middleware.shutting_down or self._loop is None:
            self.force_exit = self.should_exit = True
            return
        self._middleware.shutting_down = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._grace, self._stop)

    def _load_models(self) -> None:
        try:
            self._load()
        except Exception as error:  # raised in the main thread
            self.load_error = error
            self.should_exit = True

    def _stop(self) -> None:
        self.should_exit = True
