"""Starts a server: its port, its processes, and the loading of its models."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from nextclick.errors import ConfigError, NextclickError
from nextclick.serving.app import App, store_limits
from nextclick.serving.closing_port import refuse_handshakes
from nextclick.serving.graceful_server import BACKLOG, GracefulServer
from nextclick.serving.log_limit import RepeatLimit
from nextclick.serving.open_files import allow_connections
from nextclick.serving.sessions.session_store import (
    SessionStoreError,
    StoreConfigError,
    open_store,
)
from nextclick.serving.settings import hand_on, handed_on
from nextclick.serving.worker_pool import NOT_LOADED, LoadingOrder, WorkerPool

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from nextclick.serving.settings import Settings

log = logging.getLogger("nextclick.serving")
_NOT_STARTED = 3  # exit code of a worker that cannot open its session store
_SWITCH_INTERVAL = 0.0005  # seconds until the interpreter switches to a waiting thread


def listen(host: str, port: int) -> socket.socket:
    """Open a port; 0 selects a free one.

    Raises:
        ConfigError: the port cannot be opened.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
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
        ConfigError: the item file cannot be read, or the worker processes do not start.
    """
    if settings.workers == 1:
        run_worker(settings, [listener])
        return
    with tempfile.TemporaryDirectory(prefix="nextclick-metrics-") as folder:
        hand_on(settings, folder)
        _log_to_stderr()
        _run_pool(listener, settings)


def run_worker(
    settings: Settings, sockets: list[socket.socket], others: LoadingOrder | None = None
) -> None:
    """Run a server in this process.

    Args:
        settings: its options.
        sockets: what it listens on.
        others: when the models are loaded, if other processes share the sockets.

    Raises:
        ArtifactError: a model cannot be loaded.
        ConfigError: the item file cannot be read.
    """
    _log_to_stderr()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    threadpool_limits(1)
    settings = replace(settings, max_connections=allow_connections(settings.max_connections))
    app = App(settings)

    def load() -> None:
        with others or nullcontext():
            app.load_models()
        if "torch" in sys.modules:  # a model imported it
            sys.modules["torch"].set_num_threads(1)
        gc.collect()
        gc.freeze()  # exclude loaded models from garbage collection

    if others is not None and not others.is_first:
        load()  # another process answers meanwhile
    server = GracefulServer(app, load, owns_port=others is None)
    server.run(sockets=sockets)
    if server.load_error is not None:
        raise server.load_error
    if not server.started:
        sys.exit(_NOT_STARTED)
    if not app.is_loaded:
        logging.shutdown()
        os._exit(0)  # a compiler that runs on a thread cannot be interrupted


def _worker_main(listener: socket.socket, others: LoadingOrder) -> None:
    """The entry point of a worker process."""
    try:
        run_worker(handed_on(), [listener], others)
    except NextclickError as error:
        log.error("the models cannot be loaded: %s", error)  # noqa: TRY400
        sys.exit(NOT_LOADED)


def _run_pool(listener: socket.socket, settings: Settings) -> None:
    """Supervise worker processes until SIGTERM or Ctrl-C, then wait for them to finish."""
    n = settings.workers
    spawn = multiprocessing.get_context("spawn")
    stop = threading.Event()
    first_loaded, numbers = spawn.Event(), itertools.count()

    def start() -> SpawnProcess:
        number = next(numbers)
        if number >= n:  # a restart: the first one may have been killed
            first_loaded.set()
        others = LoadingOrder(is_first=number == 0, first_loaded=first_loaded)
        process = spawn.Process(target=_worker_main, args=(listener, others))
        process.start()
        return process

    pool = WorkerPool(n, start, stop.wait)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        pool.supervise()
    finally:
        for process in pool.processes:
            process.terminate()  # SIGTERM starts the graceful shutdown
        if stop.is_set():
            time.sleep(settings.shutdown_grace)  # the workers accept connections
        refuse_handshakes(listener)
        listener.close()  # otherwise clients connect to a port that nobody accepts from
        for process in pool.processes:
            process.join()


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, RepeatLimit) for one in handler.filters):
            handler.addFilter(RepeatLimit())
