"""Latency and failures of a server at fixed request rates (open loop).

    python benchmarks/open_loop.py http://127.0.0.1:8000 --store store --rates 50,100,200,400

Requests are sent when they are due (Poisson arrivals), whether or not earlier ones have been
answered. Latency counts from when a request was due, so the time that it waits for a free
connection counts too; a client that waits for each answer would leave it out. Every response other
than 2xx, every timeout and every broken connection is a failure, counted by kind.

The generator measures its own delay. Where its 99th percentile is above 1 ms and above a tenth of
the latency at p99, the row says "late" and the latencies are not the server's: run the generator on
another core or another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from http_stream import BadResponseError, HttpStream, encode
from nextclick.core.percentiles import percentiles
from store_sessions import Request, sessions_of_store, workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}


@dataclass(frozen=True, slots=True)
class Load:
    """How requests are sent.

    Attributes:
        seconds: measured time at each rate.
        warm_up: seconds before it, which are not measured.
        connections: open connections; each has one request at a time.
        timeout: seconds from when a request was due until it counts as failed.
        token: bearer token of the server, or None.
        seed: seed of the arrival times.
    """

    seconds: float = 10.0
    warm_up: float = 2.0
    connections: int = 64
    timeout: float = 5.0
    token: str | None = None
    seed: int = 0


@dataclass(slots=True)
class RateResult:
    """Measurements at one rate.

    Attributes:
        rate: requests per second that were due.
        sent: requests due in the measured time.
        errors: kind of failure to its count.
        latency_ms: percentiles over successful responses and timeouts, from the due time.
        lag_ms_p99: 99th percentile of the generator's own delay.
    """

    rate: float
    sent: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    lag_ms_p99: float = 0.0

    @property
    def failed(self) -> int:
        """Number of failures of all kinds."""
        return sum(self.errors.values())

    @property
    def succeeded(self) -> bool:
        """Whether any response was a success: otherwise there is nothing to measure."""
        return self.failed < self.sent

    @property
    def generator_was_late(self) -> bool:
        """Whether the generator was too slow for these latencies to be the server's."""
        return self.lag_ms_p99 > max(1.0, 0.1 * self.latency_ms.get("p99", 0.0))

    def meets(self, target_ms: float) -> bool:
        """Whether p99 is below the target without a failure and without a late generator."""
        p99 = self.latency_ms.get("p99", float("inf"))
        return p99 < target_ms and not self.failed and not self.generator_was_late

    def to_json(self) -> dict[str, Any]:
        """The measurements as a JSON object."""
        return asdict(self) | {
            "failed": self.failed, "generator_was_late": self.generator_was_late,
        }  # fmt: skip


def measure(url: str, requests: Iterator[Request], rate: float, load: Load) -> RateResult:
    """Send requests at a rate and measure them.

    Args:
        url: `http://HOST:PORT`.
        requests: as many as are due; endless iterators are fine.
        rate: requests per second.
        load: how they are sent.
    """
    return run_measurement(Measurement(url, rate, load), requests, rate, load)


def run_measurement(
    measurement: Measurement, requests: Iterator[Request], rate: float, load: Load
) -> RateResult:
    """Send requests at a rate in a new event loop."""
    rng = np.random.default_rng([load.seed, round(1000 * rate)])
    total = load.warm_up + load.seconds
    # given their number, the points of a Poisson process are independent and uniform
    due = np.sort(rng.uniform(0, total, max(1, rng.poisson(rate * total))))

    def loop() -> asyncio.AbstractEventLoop:
        # epoll rounds a wait up to a millisecond; select waits for microseconds
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(measurement.run(due.tolist(), requests))


class Measurement:
    """The requests at one rate, and what became of them."""

    def __init__(self, url: str, rate: float, load: Load):
        self._load = load
        self._url = url
        self._result = RateResult(rate)
        self._latency: list[float] = []
        self._lag: list[float] = []
        self._queue: asyncio.Queue[tuple[float, bool, bytes] | None] = asyncio.Queue()

    async def run(self, due: Sequence[float], requests: Iterator[Request]) -> RateResult:
        """Send each request when it is due."""
        clock = asyncio.get_running_loop().time
        authority = HttpStream.to(self._url).authority
        senders = [asyncio.create_task(self._send_all()) for _ in range(self._load.connections)]
        start = clock()
        for seconds, (path, body) in zip(due, requests, strict=False):
            request = encode("POST", path, authority, body, self._load.token)
            await asyncio.sleep(max(0.0, start + seconds - clock()))
            measured = seconds >= self._load.warm_up
            if measured:
                self._result.sent += 1
                self._lag.append(clock() - start - seconds)
            self._queue.put_nowait((start + seconds, measured, request))
        for _ in senders:
            self._queue.put_nowait(None)
        await asyncio.gather(*senders)
        await asyncio.sleep(0.01)  # the loop closes aborted connections in its next rounds
        return self.result()

    async def _send_all(self) -> None:
        clock = asyncio.get_running_loop().time
        stream = HttpStream.to(self._url)
        while (entry := await self._queue.get()) is not None:
            due, measured, request = entry
            failure = await self._send(stream, request, due + self._load.timeout)
            if measured:
                self.record(failure, clock() - due)
        stream.close()

    def record(self, failure: str | None, seconds: float) -> None:
        """Count one response; only those of successes and timeouts have a latency."""
        if failure in (None, "timeout"):
            self._latency.append(seconds)
        if failure is not None:
            errors = self._result.errors
            errors[failure] = errors.get(failure, 0) + 1

    def result(self) -> RateResult:
        """The measurements, with the percentiles of the recorded latencies."""
        self._result.latency_ms = _percentiles(self._latency)
        self._result.lag_ms_p99 = _percentiles(self._lag).get("p99", 0.0)
        return self._result

    async def answer(self, stream: HttpStream, request: bytes) -> int:
        """Send one request; the status of the response."""
        return (await stream.send(request))[0]

    async def _send(self, stream: HttpStream, request: bytes, until: float) -> str | None:
        """Send one request; the kind of failure, None for success."""
        try:
            async with asyncio.timeout_at(until):
                status = await self.answer(stream, request)
        except TimeoutError:
            return "timeout"
        except (OSError, EOFError, ValueError, BadResponseError) as error:
            return type(error).__name__
        return None if 200 <= status < 300 else f"status {status}"


def _percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ms = [1000 * one for one in seconds]
    return dict(zip(PERCENTILES, percentiles(ms, [*PERCENTILES.values()]), strict=True))


def table_row(result: RateResult) -> str:
    """One line of the printed table."""
    late = " (late)" if result.generator_was_late else ""
    cells = [f"{result.latency_ms[p]:,.2f}" if result.latency_ms else "–" for p in PERCENTILES]
    kinds = ", ".join(f"{n} × {kind}" for kind, n in result.errors.items()) or "0"
    return f"| {result.rate:,g}{late} | {' | '.join(cells)} | {result.sent:,} | {kinds} |"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("url", help="address of the server, such as http://127.0.0.1:8000")
    add("--store", type=Path, required=True, help="store with the sessions to send")
    add("--part", default="test", help="part of the store: train, fit, valid or test")
    add("--mode", choices=("events", "recommend"), default="events",
        help="live sessions click by click, or whole sessions")  # fmt: skip
    add("--rates", default="100", help="requests per second, such as 100,200,500")
    add("--think", type=float, default=1.0, help="seconds between two clicks of a live session")
    add("-k", type=int, default=20, help="number of recommended items")
    for name in ("seconds", "warm_up", "timeout"):
        default = getattr(Load(), name)
        add(f"--{name.replace('_', '-')}", type=float, default=default, help="(%(default)s)")
    add("--connections", type=int, default=Load().connections)
    add("--seed", type=int, default=0)
    add("--token-file", type=Path, help="file with the bearer token of the server")
    add(
        "--max-errors",
        type=int,
        help="exit with 1 after more failures than this, or if a rate has no success",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def main() -> None:
    """Measure every rate and print the results."""
    options = parse_arguments()
    token = options.token_file.read_text().strip() if options.token_file else None
    load = Load(
        options.seconds, options.warm_up, options.connections, options.timeout, token, options.seed
    )
    sessions = sessions_of_store(options.store, options.part, seed=options.seed)
    requests = workload(options.mode, sessions, options.k, options.think)
    results = []
    if not options.json:
        print(f"| requests/s | {' | '.join(PERCENTILES)} | sent | errors |")
        print("|---" * (len(PERCENTILES) + 3) + "|")
    for rate in map(float, options.rates.split(",")):
        results.append(measure(options.url, requests(rate), rate, load))
        if not options.json:
            print(table_row(results[-1]), flush=True)
    if options.json:
        print(json.dumps([result.to_json() for result in results]))
    sys.exit(exit_code(results, options.max_errors))


def exit_code(results: Sequence[RateResult], max_errors: int | None) -> int:
    """1 if a rate had no success at all, or if there were more failures than allowed."""
    too_many = max_errors is not None and sum(one.failed for one in results) > max_errors
    return int(too_many or not all(one.succeeded for one in results))


if __name__ == "__main__":
    main()
