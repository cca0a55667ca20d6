"""How long one answer takes: raw ids in, raw ids out, one session at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving import Recommender

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions

_WARM_UP = 20  # queries before the first that counts
_SECONDS = 20.0  # a slow model is asked less often


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """Milliseconds of single queries, and how many there were."""

    median: float
    p99: float
    queries: int


def answer_time(artifact: Artifact, sessions: Sessions, k: int, *, queries: int) -> AnswerTime:
    """Ask for k items after all but the last click of sessions drawn by chance.

    Args:
        artifact: the model.
        sessions: in its indices; clicks on unknown items are left out.
        k: how many items an answer names.
        queries: how many are timed, at most; fewer where sessions or seconds end.
    """
    recommender = Recommender(artifact)
    drawn = np.random.default_rng(0).permutation(len(sessions))[: queries + _WARM_UP]
    times: list[float] = []
    spent = 0.0
    for s in drawn:
        clicks = sessions.session(s)[:-1]
        asked = artifact.items.raws(clicks[clicks > 0])
        began = time.perf_counter()
        recommender.recommend([asked], k)
        times.append(time.perf_counter() - began)
        spent += times[-1]
        if spent > _SECONDS and len(times) > _WARM_UP:
            break
    counted = 1000 * np.array(times[_WARM_UP:] or times)
    return AnswerTime(float(np.median(counted)), float(np.quantile(counted, 0.99)), len(counted))
