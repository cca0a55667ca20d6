"""Worker processes that share one port, and their restart."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event

log = logging.getLogger("nextclick.serving")
_SUPERVISION_INTERVAL = 0.5  # seconds between checks of the worker processes
_EARLY_EXIT = 30.0  # seconds; a worker that exits before has not started properly
_MAX_EARLY_EXITS = 5
NOT_LOADED = 4  # exit code of a worker that cannot load its models


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


@dataclass(frozen=True, slots=True)
class LoadingOrder:
    """Held while a worker loads its models: the first one compiles kernels, the others wait for it.

    Attributes:
        is_first: whether this worker accepts connections while it loads, and rejects requests. The
            others load before they accept any, so no request is rejected once one is ready.
        first_loaded: whether the first worker has loaded its models, or failed.
    """

    is_first: bool
    first_loaded: Event

    def __enter__(self) -> None:
        if not self.is_first:
            self.first_loaded.wait()

    def __exit__(self, *error: object) -> None:
        self.first_loaded.set()


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
        self._n_restarts = 0
        self._n_early = 0  # early exits since a process last ran for a while
        self._workers: list[tuple[WorkerProcess, float]] = [(start(), clock()) for _ in range(n)]

    @property
    def processes(self) -> list[WorkerProcess]:
        """The processes."""
        return [process for process, _ in self._workers]

    def supervise(self) -> None:
        """Restart processes until `wait` returns true.

        Raises:
            ConfigError: processes exit soon after their start, time after time, or a first one
                cannot load the models.
        """
        while not self._wait(_SUPERVISION_INTERVAL):
            for n, (process, started) in enumerate(self._workers):
                if process.is_alive():
                    continue
                if process.exitcode == NOT_LOADED and self._n_restarts == 0:
                    raise ConfigError("the models cannot be loaded; see the log for the reason")
                delay = self._restart_delay(process, self._clock() - started)
                log.error(
                    "worker %s exited with code %s; restarting in %g s",
                    process.pid, process.exitcode, delay,
                )  # fmt: skip
                if delay and self._wait(delay):
                    return
                self._n_restarts += 1
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
