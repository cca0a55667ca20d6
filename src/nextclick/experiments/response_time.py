"""Latency of one recommendation: raw item ids in, raw item ids out, one session at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.percentiles import percentiles

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.serving import Recommender

_WARM_UP = 20  # queries before the first one that is timed
_MAX_SECONDS = 20.0  # limits the number of queries to a slow model


@dataclass(frozen=True, slots=True)
class ResponseTime:
    """Latency of single queries, in milliseconds, and the number of queries timed."""

    median: float
    p99: float
    queries: int


def measure_response_time(
    recommender: Recommender, sessions: Sessions, k: int, *, queries: int
) -> ResponseTime:
    """Recommend k items for random sessions, each without its last click.

    Args:
        recommender: of a saved model, as a server loads it.
        sessions: in the item indices of the model; clicks on unknown items are dropped.
        k: number of items recommended.
        queries: the most queries timed; fewer if the sessions or 20 seconds run out.
    """
    sample = np.random.default_rng(0).permutation(len(sessions))[: queries + _WARM_UP]
    seconds: list[float] = []
    for s in sample:
        clicks = sessions.session(s)[:-1]
        query = recommender.artifact.items.raw_ids(clicks[clicks > 0])
        start = time.perf_counter()
        recommender.recommend([query], k)
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > _MAX_SECONDS and len(seconds) > _WARM_UP:
            break
    timed = 1000 * np.array(seconds[_WARM_UP:] or seconds)
    (p99,) = percentiles(timed, [99])
    return ResponseTime(float(np.median(timed)), p99, len(timed))
