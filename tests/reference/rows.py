"""Sparse scores as plain dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.types import SparseScores


def rows(scores: SparseScores) -> list[dict[int, float]]:
    """For each row the items that it lists, and their scores."""
    bounds = zip(scores.offsets[:-1], scores.offsets[1:], strict=True)
    return [
        dict(zip(scores.items[a:b].tolist(), scores.values[a:b].tolist(), strict=True))
        for a, b in bounds
    ]
