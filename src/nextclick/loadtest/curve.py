"""One measurement for each rate, one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.types import silent
from nextclick.errors import ConfigError
from nextclick.loadtest.arrivals import due_times
from nextclick.loadtest.clock import exact_loop
from nextclick.loadtest.config import LoadConfig, checked
from nextclick.loadtest.measured import Measured, measured
from nextclick.loadtest.openloop import Log, OpenLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import Progress
    from nextclick.loadtest.ask import Server
    from nextclick.loadtest.work import Work


@dataclass(frozen=True, slots=True)
class Curve:
    """What all rates gave.

    Attributes:
        url: of the server.
        config: how the load was made.
        work: what was asked.
        rates: in the order in which they were measured.
    """

    url: str
    config: LoadConfig
    work: Work
    rates: list[Measured]

    @property
    def failed(self) -> int:
        """Requests that failed, of all rates."""
        return sum(one.failed for one in self.rates)

    @property
    def stopped(self) -> bool:
        """Whether the user ended it early."""
        return any(one.stopped for one in self.rates)

    @property
    def highest(self) -> float | None:
        """The highest rate that the server held (`Measured.holds`), None if it held none."""
        held = [one.rate for one in self.rates if one.holds(self.config.target_ms)]
        return max(held, default=None)

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "url": self.url,
            "load": asdict(self.config),
            "work": asdict(self.work.config) | {"visits": len(self.work.visits)},
            "rates": [one.to_json() for one in self.rates],
            "highest_rate": self.highest,
            "failed": self.failed,
            "stopped": self.stopped,
        }


def load(
    server: Server,
    work: Work,
    config: LoadConfig,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = silent,
) -> Curve:
    """Measure every rate of a config; between two of them all requests come to their end.

    Args:
        server: open, from `open_server`.
        work: what to ask.
        config: rates and times.
        stop: asked now and then whether to end early, with what was measured until then.
        progress: told how far it has come.

    Raises:
        ConfigError: a value is out of its range, or the server does not answer a trial request.
    """
    config = checked(config)
    server.check(next(work.requests(server, config.rates[0])))
    found: list[Measured] = []
    for number, rate in enumerate(config.rates):
        log = _one(server, work, config, number, stop, progress)
        found.append(measured(log, rate, config.seconds))
        if log.stopped:
            break
    return Curve(server.address.shown, config, work, found)


def _one(
    server: Server,
    work: Work,
    config: LoadConfig,
    number: int,
    stop: Callable[[], bool],
    progress: Progress,
) -> Log:
    rate = config.rates[number]
    rng = np.random.default_rng([config.seed, number])
    due = due_times(rate, config.warm_up + config.seconds, config.arrivals, rng)
    stage = f"{rate:,g} requests/s"

    def told(done: int, failed: int) -> None:
        progress(f"{stage} · {failed:,} failed", done, len(due))

    async def run() -> Log:
        loop = OpenLoop(
            server.address,
            due,
            work.requests(server, rate),
            warm_up=config.warm_up,
            connections=config.connections,
            timeout=config.timeout,
            stop=stop,
            progress=told,
        )
        return await loop.run()

    progress(stage, 0, len(due))
    try:
        with asyncio.Runner(loop_factory=exact_loop) as runner:
            return runner.run(run())
    except OSError as error:
        raise ConfigError(
            f"{server.address.shown}: {config.connections:,} connections cannot be opened: "
            f"{error.strerror or error}; lower --connections, or raise `ulimit -n`"
        ) from None
