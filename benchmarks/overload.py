"""Overload of a server: large requests beside small ones.

`serve_drills.py` imports it.
"""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from nextclick.core.percentiles import percentiles
from server_process import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import RawId

LARGE = {"sessions": 256, "clicks": 330, "k": 1000}
N_LARGE = 10


def large_request(items: Sequence[RawId]) -> dict[str, Any]:
    """A batch that costs as much as thousands of ordinary requests, within the size limit."""
    rng = np.random.default_rng(0)
    requests = []
    for _ in range(LARGE["sessions"]):
        clicks = rng.integers(len(items), size=LARGE["clicks"])
        session = [items[click] for click in clicks]
        requests.append({"session": session, "k": LARGE["k"], "explain": True})
    return {"requests": requests}


def beside_large(url: str, items: Sequence[RawId]) -> dict[str, Any]:
    """Latencies of small requests and health checks while ten large requests are sent at once."""
    body, statuses = json.dumps(large_request(items)).encode(), []
    parts = urlsplit(url)

    def send() -> None:
        # neither encoded nor decoded here, which would delay the small requests of this process
        connection = HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        connection.request("POST", "/v1/recommend/batch", body)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        statuses.append(answer.status)

    small = {"session": list(items[:3]), "k": 20}
    before = _latencies(url, small, lambda n: n < 200)
    threads = [threading.Thread(target=send) for _ in range(N_LARGE)]
    for thread in threads:
        thread.start()
    during = _latencies(url, small, lambda _: any(thread.is_alive() for thread in threads))
    for thread in threads:
        thread.join()
    return {
        "large": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        **{f"alone {name}": _quantiles(ms) for name, ms in before.items()},
        **{f"beside large {name}": _quantiles(ms) for name, ms in during.items()},
    }


def _latencies(url: str, body: Any, more: Any) -> dict[str, list[float]]:
    """Latencies in ms by status, one request after the other."""
    found: dict[str, list[float]] = {}
    n = 0
    with Client(url) as client:
        while more(n):
            for name, call in (
                ("recommend", ("POST", "/v1/recommend", body)),
                ("healthz", ("GET", "/healthz", None)),
            ):
                began = time.perf_counter()
                status = client.ask(*call)[0]
                ms = 1000 * (time.perf_counter() - began)
                found.setdefault(f"{name} {status}", []).append(ms)
            n += 1
            time.sleep(0.005)
    return found


def _quantiles(ms: Sequence[float]) -> dict[str, float]:
    at = percentiles(ms, [50, 99, 100])
    return {"n": len(ms), **dict(zip(("median_ms", "p99_ms", "max_ms"), at, strict=True))}
