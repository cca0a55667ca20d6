"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters of one process, which several processes add up if `shared`.

    Labels are routes, methods, statuses and names of models: never ids.
    """

    def __init__(self, *, shared: bool = False):
        self._shared = shared
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter(
            "nextclick_requests", "Requests answered", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "nextclick_request_seconds", "From first byte to answer", ["route"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.batch = Histogram(
            "nextclick_batch_size", "Requests answered at once",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=own,
        )  # fmt: skip
        self.waiting = Gauge(
            "nextclick_queue", "Requests that wait", multiprocess_mode="livesum", registry=own
        )
        self.refused = Counter(
            "nextclick_refused", "Requests refused for load", ["reason"], registry=own
        )
        self.swaps = Counter(
            "nextclick_swaps", "New versions of models", ["model", "result"], registry=own
        )
        self.state_up = Gauge(
            "nextclick_state_up", "Whether live sessions can be reached",
            multiprocess_mode="livemin", registry=own,
        )  # fmt: skip
        self.degraded = Counter(
            "nextclick_degraded", "Requests answered without live sessions", registry=own
        )

    def text(self) -> bytes:
        """What /metrics says."""
        if not self._shared:
            return generate_latest(self._registry)
        whole = CollectorRegistry()
        multiprocess.MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        return generate_latest(whole)
