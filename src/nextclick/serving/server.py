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
import time
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from threadpoolctl import threadpool_limits

from nextclick.errors import ConfigError
from nextclick.serving.app import App, store_limits
from nextclick.serving.http_protocol import bounded_protocol
from nextclick.serving.log_limit import RepeatLimit
from nextclick.serving.model_manager import ModelManager
from nextclick.serving.sessions.session_store import (
    SessionStoreError,
    StoreConfigError,
    open_store,
)
from nextclick.serving.settings import hand_on, handed_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_FINAL_REQUEST_SECONDS = 1.0  # for a last request on open connections
_SUPERVISION_INTERVAL = 0.5  # seconds between checks of the worker processes
_EARLY_EXIT = 30.0  # seconds; a worker that exits before has not started properly
_MAX_EARLY_EXITS = 5
_NOT_STARTED = 3  # exit code of a worker that cannot open its session store
_BACKLOG = 2048
_ACCEPTS = 64  # connections accepted after one that the event loop accepted
_SWITCH_INTERVAL = 0.0005  # seconds until the interpreter switches to a waiting thread


class WorkerProcess(Protocol):
    """A process, as in `multiprocessing`."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    @property
    def exitcode(self) -> int | None:
        """Its exit code; None while it runs."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def join(self) -> None:
        """Wait for its end."""


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


def check_session_store(settings: Settings) -> None:
    """Check that the session store can be written.

    A store that does not respond may start later: the server starts without it.

    Raises:
        ConfigError: the store rejects writes because of the configuration.
    """

    async def check() -> None:
        store = open_store(settings.state, store_limits(settings))
        try:
            await store.check_write()
        finally:
            await store.close()

    try:
        asyncio.run(check())
    except StoreConfigError as error:
        name = settings.state.partition(":")[0]
        raise ConfigError(
            f"--state {name}: the store cannot be written: {error}; check its address, password, "
            "certificate and permissions"
        ) from None
    except SessionStoreError as error:
        log.warning("the session store cannot be written yet: %s", error)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the titles cannot be read, or the worker processes do not start.
    """
    if settings.workers == 1:
        run_worker(settings, [listener])
        return
    with tempfile.TemporaryDirectory(prefix="nextclick-metrics-") as folder:
        hand_on(settings, folder)
        # report errors once, and compile kernels before the workers start
        ModelManager(settings.models, titles=settings.titles, min_recall=settings.min_recall)
        _log_to_stderr()
        _run_pool(listener, settings.workers)


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
    server = GracefulServer(app)
    server.run(sockets=sockets)
    if not server.started:
        sys.exit(_NOT_STARTED)


def _worker_main(listener: socket.socket) -> None:
    """The entry point of a worker process."""
    run_worker(handed_on(), [listener])


class WorkerPool:
    """Processes that share one port; a process that dies is restarted.

    A process that exits soon after its start is restarted after a delay, which doubles each time.
    After several such exits in a row the server stops.

    Args:
        n: number of processes.
        start: starts a process.
        wait: waits some seconds; returns whether to stop.
        clock: in seconds.
    """

    def __init__(
        self,
        n: int,
        start: Callable[[], WorkerProcess],
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._start = start
        self._wait = wait
        self._clock = clock
        self._n_early = 0  # early exits since a process last ran for a while
        self._workers: list[tuple[WorkerProcess, float]] = [(start(), clock()) for _ in range(n)]

    @property
    def processes(self) -> list[WorkerProcess]:
        """The processes."""
        return [process for process, _ in self._workers]

    def supervise(self) -> None:
        """Restart processes until `wait` returns true.

        Raises:
            ConfigError: processes exit soon after their start, time after time.
        """
        while not self._wait(_SUPERVISION_INTERVAL):
            for n, (process, started) in enumerate(self._workers):
                if process.is_alive():
                    continue
                delay = self._restart_delay(process, self._clock() - started)
                log.error(
                    "worker %s exited with code %s; restarting in %g s",
                    process.pid, process.exitcode, delay,
                )  # fmt: skip
                if delay and self._wait(delay):
                    return
                self._workers[n] = (self._start(), self._clock())

    def _restart_delay(self, process: WorkerProcess, lived: float) -> float:
        if lived >= _EARLY_EXIT:
            self._n_early = 0
            return 0.0
        self._n_early += 1
        if self._n_early >= _MAX_EARLY_EXITS:
            raise ConfigError(
                f"--workers: the processes exited {self._n_early} times soon after their start, "
                f"the last one with code {process.exitcode}; see the log for the reason"
            )
        return float(_SUPERVISION_INTERVAL * 2**self._n_early)


def _run_pool(listener: socket.socket, n: int) -> None:
    """Supervise worker processes until SIGTERM or Ctrl-C, then wait for them to finish."""
    spawn = multiprocessing.get_context("spawn")
    stop = threading.Event()

    def start() -> SpawnProcess:
        process = spawn.Process(target=_worker_main, args=(listener,))
        process.start()
        return process

    pool = WorkerPool(n, start, stop.wait)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        pool.supervise()
    finally:
        listener.close()  # otherwise clients connect to a port that nobody accepts from
        for process in pool.processes:
            process.terminate()  # SIGTERM starts the graceful shutdown
        for process in pool.processes:
            process.join()


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
        self._listeners: tuple[socket.socket, ...] = ()
        self._accepting: set[asyncio.Task[Any]] = set()
        super().__init__(
            uvicorn.Config(
                app.asgi,
                http=bounded_protocol(
                    settings,
                    app.metrics.rejected.labels("queue").inc,
                    lambda: app.asgi.shutting_down,
                    self._accept_more,
                ),
                ws="none",
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
        self._listeners = tuple(sockets or ())
        for listener in self._listeners:
            listener.setblocking(False)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept pending connections, close the port, finish open connections, then stop."""
        assert self._loop is not None
        self._listeners = ()
        for listener in sockets or ():
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

    def _accept_more(self) -> None:
        """Accept further connections; the event loop accepts one per iteration."""
        assert self._loop is not None
        for listener in self._listeners:
            for _ in range(_ACCEPTS):
                try:
                    connection = listener.accept()[0]
                except OSError:  # there is none
                    break
                connecting = self._loop.connect_accepted_socket(self._protocol, connection)
                task = self._loop.create_task(connecting)
                self._accepting.add(task)
                task.add_done_callback(self._accepting.discard)

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
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, RepeatLimit) for one in handler.filters):
            handler.addFilter(RepeatLimit())
