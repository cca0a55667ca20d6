"""Prometheus metrics of the server."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ServerMetrics:
    """Metrics of one process, aggregated over all workers if `shared`.

    Labels are routes, statuses and model names, never ids.
    """

    def __init__(self, *, shared: bool = False):
        self._shared = shared
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "nextclick_requests", "Requests", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "nextclick_request_seconds", "Time from the request to its response", ["route"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self.batch = Histogram(
            "nextclick_batch_size", "Requests per batch",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=registry,
        )  # fmt: skip
        self.queued = Gauge(
            "nextclick_queue",
            "Cost of the requests in the queue",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.rejected = Counter(
            "nextclick_refused", "Requests rejected because of load", ["reason"], registry=registry
        )
        self.swaps = Counter(
            "nextclick_swaps", "Version changes of models", ["model", "result"], registry=registry
        )
        self.store_up = Gauge(
            "nextclick_state_up", "Whether the session store responds",
            multiprocess_mode="livemin", registry=registry,
        )  # fmt: skip
        self.degraded = Counter(
            "nextclick_degraded", "Requests answered without the session store", registry=registry
        )
        self.dropped_events = Counter(
            "nextclick_dropped_events", "Clicks missing in the event log", registry=registry
        )
        self.lost_clicks = Counter(
            "nextclick_lost_clicks", "Clicks that could not be stored", registry=registry
        )

    def text(self) -> bytes:
        """The text of /metrics."""
        if not self._shared:
            return generate_latest(self._registry)
        merged = CollectorRegistry()
        multiprocess.MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
        return generate_latest(merged)
