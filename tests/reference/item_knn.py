"""Item-KNN the slow and obvious way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.models.classical.item_knn import ItemKNNConfig


def neighbors(sessions: list[list[int]], config: ItemKNNConfig) -> dict[int, dict[int, float]]:
    """For each item its best neighbors and their scores."""
    known = [[i for i in session if i != 0] for session in sessions]
    items = sorted({i for session in known for i in session})

    def damped(item: int, exponent: float) -> float:
        if config.count == "clicks":
            count = sum(session.count(item) for session in known)
        else:
            count = sum(item in session for session in known)
        return float(np.power(count + config.shrinkage, exponent))

    def shared(i: int, j: int) -> int:
        both = [session for session in known if i in session and j in session]
        return sum(session.count(i) if config.count == "clicks" else 1 for session in both)

    table = {}
    for i in items:
        scores = {
            j: shared(i, j) / (damped(i, config.alpha) * damped(j, 1 - config.alpha))
            for j in items
            if j != i and shared(i, j) > 0
        }
        best = sorted(scores, key=lambda j: (-scores[j], j))[: config.neighbors]
        table[i] = {j: scores[j] for j in best}
    return table
