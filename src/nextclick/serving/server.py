"""Server processes: start, supervision, and graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from threadpoolctl import threadpool_limits

from nextclick.errors import ConfigError
from nextclick.serving.app import App
from nextclick.serving.model_manager import ModelManager
from nextclick.serving.settings import hand_on, handed_on

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_FINAL_REQUEST_SECONDS = 1.0  # for a last request on open connections
_SUPERVISION_INTERVAL = 0.5  # seconds between checks of the worker processes
_BACKLOG = 2048
_SWITCH_INTERVAL = 0.0005  # seconds until the interpreter switches to a waiting thread


def listen(host: str, port: int) -> socket.socket:
    """Open a port; 0 selects a free one.

    Raises:
        ConfigError: the port cannot be opened.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: cannot be opened: {error}; choose another port"
        ) from error
    listener.set_inheritable(True)
    return listener


def serve(settings: Settings, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the titles cannot be read.
    """
    if settings.workers == 1:
        run_worker(settings, [listener])
        return
    with tempfile.TemporaryDirectory(prefix="nextclick-metrics-") as folder:
        hand_on(settings, folder)
        # report errors once, and compile kernels before the workers start
        ModelManager(settings.models, titles=settings.titles, min_recall=settings.min_recall)
        _log_to_stderr()
        WorkerPool(listener, settings.workers).run()


def run_worker(settings: Settings, sockets: list[socket.socket]) -> None:
    """Run a server in this process."""
    _log_to_stderr()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    threadpool_limits(1)
    app = App(settings)
    if "torch" in sys.modules:  # a model imported it
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()  # exclude loaded models from garbage collection
    GracefulServer(app).run(sockets=sockets)


def _worker_main(listener: socket.socket) -> None:
    """The entry point of a worker process."""
    run_worker(handed_on(), [listener])


class WorkerPool:
    """Processes that share one port; a process that dies is restarted."""

    def __init__(self, listener: socket.socket, n: int):
        self._listener = listener
        self._spawn = multiprocessing.get_context("spawn")
        self._stop = threading.Event()
        self._processes = [self._start() for _ in range(n)]

    def run(self) -> None:
        """Supervise the processes until SIGTERM or Ctrl-C, then wait for them to finish."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        while not self._stop.wait(_SUPERVISION_INTERVAL):
            for n, process in enumerate(self._processes):
                if not process.is_alive():
                    log.error(
                        "worker %d exited with code %s; restarting", process.pid, process.exitcode
                    )
                    self._processes[n] = self._start()
        self._listener.close()  # otherwise clients connect to a port that nobody accepts from
        for process in self._processes:
            process.terminate()  # SIGTERM starts the graceful shutdown
        for process in self._processes:
            process.join()

    def _start(self) -> SpawnProcess:
        process = self._spawn.Process(target=_worker_main, args=(self._listener,))
        process.start()
        return process


class GracefulServer(uvicorn.Server):
    """Accepts requests for a grace period after SIGTERM.

    During this period responses close their connections and /readyz returns 503, so that clients
    and load balancers switch to another server without a failed request.
    """

    def __init__(self, app: App):
        settings = app.settings
        self._middleware = app.asgi
        self._grace = settings.shutdown_grace
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                app.asgi,
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=_BACKLOG,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies or "127.0.0.1",
                timeout_graceful_shutdown=int(settings.timeout) + 5,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept pending connections, close the port, finish open connections, then stop."""
        assert self._loop is not None
        for listener in sockets or ():
            listener.setblocking(False)
            with contextlib.suppress(OSError):  # the backlog is empty
                while True:
                    await self._loop.connect_accepted_socket(self._protocol, listener.accept()[0])
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        deadline = self._loop.time() + _FINAL_REQUEST_SECONDS
        while self.server_state.connections and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        protocol_class: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the grace period; a second signal stops at once."""
        del sig, frame
        if self._middleware.shutting_down or self._loop is None:
            self.force_exit = self.should_exit = True
            return
        self._middleware.shutting_down = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._grace, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
