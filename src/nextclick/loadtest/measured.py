"""What one rate gave: exact percentiles of every request, and what failed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array
    from nextclick.loadtest.openloop import Log

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
_LATE_MS = 1.0  # the generator may be late by so much, or
_LATE_SHARE = 0.1  # by this share of the latency, before its figures mislead
_CURVE = (
    0,
    10,
    20,
    30,
    40,
    50,
    60,
    70,
    80,
    90,
    92.5,
    95,
    97,
    98,
    99,
    99.5,
    99.8,
    99.9,
    99.95,
    99.99,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One rate.

    Attributes:
        rate: requests a second that were due.
        seconds: from the end of the warm-up to the last arrival that was asked for.
        sent: requests that were due in that time.
        answered: of those, answers with a status of success.
        achieved: successes a second, until the last of them had come.
        latency_ms: from when a request was due to its answer, or until it timed out: percentiles,
            `max` and `mean`; empty if there is none.
        service_ms: the same from when it was sent: what a client that waits for answers would tell.
        curve_ms: pairs of a percentile and its latency.
        errors: kind of failure to how many, such as "status 503" or "timeout".
        examples: kind of failure to what the server said, of some.
        degraded: answers given without the live session, which could not be reached.
        waited: requests that found no free connection.
        lag_ms: `p99` and `max` of how late the generator itself noticed that a request was due.
        generator_share: of a processor that the generator took.
        generator_was_late: the figures tell of the generator, not of the server.
        stopped: the user ended it early.
    """

    rate: float
    seconds: float
    sent: int
    answered: int
    achieved: float
    latency_ms: dict[str, float]
    service_ms: dict[str, float]
    curve_ms: list[tuple[float, float]]
    errors: dict[str, int]
    examples: dict[str, str]
    degraded: int
    waited: int
    lag_ms: dict[str, float]
    generator_share: float
    generator_was_late: bool
    stopped: bool

    @property
    def failed(self) -> int:
        """Requests that were not answered with success."""
        return sum(self.errors.values())

    def holds(self, target_ms: float) -> bool:
        """Whether the server held this rate: no error, p99 below the target, and truly measured."""
        return (
            self.failed == 0
            and self.answered > 0
            and not self.generator_was_late
            and not self.stopped
            and self.latency_ms["p99"] < target_ms
        )

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self) | {"failed": self.failed}


def measured(log: Log, rate: float, seconds: float) -> Measured:
    """Count what a log holds."""
    latency = 1000 * np.frombuffer(log.latency, dtype=np.float64)
    service = 1000 * np.frombuffer(log.service, dtype=np.float64)
    lag = 1000 * np.frombuffer(log.lag, dtype=np.float64)
    lag_p99 = percentile(lag, 99) if len(lag) else 0.0
    over = percentile(latency, 99) if len(latency) else math.inf
    return Measured(
        rate=rate,
        seconds=seconds,
        sent=log.answered + log.errors.total(),
        answered=log.answered,
        achieved=log.answered / max(seconds if not log.stopped else 0.0, log.last, 1e-9),
        latency_ms=_summary(latency),
        service_ms=_summary(service),
        curve_ms=[(p, percentile(latency, p)) for p in _CURVE] if len(latency) else [],
        errors=dict(log.errors.most_common()),
        examples=log.examples,
        degraded=log.degraded,
        waited=log.waited,
        lag_ms={"p99": lag_p99, "max": float(lag.max())} if len(lag) else {},
        generator_share=log.busy / max(log.wall, 1e-9),
        generator_was_late=lag_p99 > _LATE_MS and lag_p99 > _LATE_SHARE * over,
        stopped=log.stopped,
    )


def percentile(values: Float64Array, p: float) -> float:
    """The smallest value that at least p percent of the values do not exceed (nearest rank).

    >>> percentile(np.array([40.0, 10.0, 30.0, 20.0]), 50)
    20.0
    """
    # rounded: 99.9 % of 1,000 is 999, which its product in floating point exceeds
    rank = max(1, math.ceil(round(len(values) * p / 100, 6)))
    return float(np.partition(values, rank - 1)[rank - 1])


def _summary(values: Float64Array) -> dict[str, float]:
    if not len(values):
        return {}
    found = {name: percentile(values, p) for name, p in PERCENTILES.items()}
    return found | {"max": float(values.max()), "mean": float(values.mean())}
