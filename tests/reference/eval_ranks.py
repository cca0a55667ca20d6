"""Ranks and top-K lists by their definition: slow version of evaluation.ranks and core.topk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def rank(scores: Sequence[float], target: int, ties: str) -> float:
    """Rank of `target` among items 1..N; scores[0] is padding."""
    if target == 0:
        return math.inf
    others = [scores[j] for j in range(1, len(scores)) if j != target]
    above = sum(score > scores[target] for score in others)
    tied = sum(score == scores[target] for score in others)
    return 1 + above + {"worst": tied, "mean": tied / 2, "best": 0}[ties]


def top(scores: Sequence[float], k: int) -> list[int]:
    """The top k items with a score above the lowest; 0 where there is none."""
    lowest = min(scores[1:])
    items = sorted(range(1, len(scores)), key=lambda item: (-scores[item], item))[:k]
    return [item if scores[item] > lowest else 0 for item in items]
