"""Session-KNN the slow and obvious way: every session is compared with the one at hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.models.classical.session_knn import SessionKNNConfig


def by_step(kind: str, n: int) -> float:
    """Weight of something n = 1, 2, … steps away."""
    return {
        "same": 1.0,
        "div": 1 / n,
        "linear": max(0.0, 1 - 0.1 * n),
        "log": 1 / math.log10(n + 1.7),
        "quadratic": 1 / (n * n),
    }[kind]


def by_position(kind: str, p: int, length: int) -> float:
    """Weight of click p in 1..length."""
    return {
        "same": 1.0,
        "div": p / length,
        "linear": max(0.0, 1 - 0.1 * (length - p)),
        "log": 1 / math.log10(length - p + 1.7),
        "quadratic": (p / length) ** 2,
    }[kind]


def scores(
    sessions: list[list[int]], clicks: list[int], config: SessionKNNConfig
) -> dict[int, float]:
    """The score of every item that a neighbor holds."""
    clicks = clicks[-config.last_n_clicks :]
    last = {item: p for p, item in enumerate(clicks, start=1)}
    known = [set(session) - {0} for session in sessions]

    sharing = [h for h in range(len(known)) if known[h] & set(clicks)]
    candidates = sharing[::-1][: config.sample_size]  # a later session is a more recent one

    def similarity(h: int) -> float:
        shared = sorted(known[h] & set(clicks), key=lambda item: -last[item])
        total = sum(by_position(config.weighting, last[item], len(clicks)) for item in shared)
        total = total / math.sqrt(len(known[h])) if config.similarity == "cosine" else total
        return float(np.float32(total))

    nearest = sorted(candidates, key=lambda h: (-similarity(h), -h))[: config.k]

    votes: dict[int, float] = {}
    for h in nearest:
        step = len(clicks) + 1 - max(last[item] for item in known[h] & set(clicks))
        for item in known[h]:
            vote = similarity(h) * by_step(config.weighting_score, step)
            votes[item] = votes.get(item, 0.0) + vote
    idf = {j: math.log(len(known) / sum(j in session for session in known)) for j in votes}
    return {j: votes[j] * (1 + config.idf_weighting * idf[j]) for j in votes}
