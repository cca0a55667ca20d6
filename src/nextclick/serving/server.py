"""Starts the server's processes, and stops them without losing an answer."""

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
from nextclick.serving.model_manager import Served
from nextclick.serving.settings import hand_on, handed_on

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_LAST = 1.0  # seconds that clients who are connected have for a last request
_LOOK = 0.5  # seconds between two looks at the workers
_BACKLOG = 2048
_SWITCH = 0.0005  # seconds that a thread keeps the interpreter while another one waits for it


def listen(host: str, port: int) -> socket.socket:
    """Open the port; 0 takes a free one.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        opened = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: cannot be opened: {error}; choose another port"
        ) from error
    opened.set_inheritable(True)
    return opened


def serve(settings: Settings, opened: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the titles cannot be read.
    """
    if settings.workers == 1:
        work(settings, [opened])
        return
    with tempfile.TemporaryDirectory(prefix="nextclick-metrics-") as folder:
        hand_on(settings, folder)
        # what cannot be loaded is said once, and kernels are compiled
        Served(settings.models, titles=settings.titles, least_recall=settings.min_recall)
        _log_to_stderr()
        _Workers(opened, settings.workers).run()


def work(settings: Settings, sockets: list[socket.socket]) -> None:
    """One process that answers."""
    _log_to_stderr()
    sys.setswitchinterval(_SWITCH)
    threadpool_limits(1)
    app = App(settings)
    if "torch" in sys.modules:  # a model needed it
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()  # what is loaded stays; collections look at what requests leave
    _Server(app).run(sockets=sockets)


def _worker(opened: socket.socket) -> None:
    """What each of several processes runs."""
    work(handed_on(), [opened])


class _Workers:
    """Several processes that take requests from one port; one that dies is started again."""

    def __init__(self, opened: socket.socket, n: int):
        self._opened = opened
        self._spawn = multiprocessing.get_context("spawn")
        self._stop = threading.Event()
        self._running = [self._start() for _ in range(n)]

    def run(self) -> None:
        """Wait for SIGTERM or Ctrl-C, then for all processes to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        while not self._stop.wait(_LOOK):
            for place, process in enumerate(self._running):
                if not process.is_alive():
                    log.error("worker %d ended with %s", process.pid, process.exitcode)
                    self._running[place] = self._start()
        self._opened.close()  # else clients would connect to a port that nobody takes them from
        for process in self._running:
            process.terminate()  # SIGTERM: it finishes what it holds
        for process in self._running:
            process.join()

    def _start(self) -> SpawnProcess:
        process = self._spawn.Process(target=_worker, args=(self._opened,))
        process.start()
        return process


class _Server(uvicorn.Server):
    """Told to stop, it goes on for a while, so that clients and balancers learn of it.

    In that time answers close their connection, so that nobody sends a request into one that is
    about to go, and /readyz says that the server is stopping.
    """

    def __init__(self, app: App):
        settings = app.settings
        self._gate = app.gate
        self._drain = settings.shutdown_grace
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                app.gate,
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
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take who has connected, close the port, let connections end, then stop."""
        assert self._loop is not None
        for opened in sockets or ():
            opened.setblocking(False)
            with contextlib.suppress(OSError):  # nobody is left in the backlog
                while True:
                    await self._loop.connect_accepted_socket(self._protocol, opened.accept()[0])
        for server in self.servers:
            server.close()
        for opened in sockets or ():
            opened.close()
        until = self._loop.time() + _LAST
        while self.server_state.connections and self._loop.time() < until:
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the drain; at once if told again."""
        del sig, frame
        if self._gate.drains or self._loop is None:
            self.force_exit = self.should_exit = True
            return
        self._gate.drains = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
