"""Transitions between clicks the slow and obvious way."""

from __future__ import annotations


def followers(
    sessions: list[list[int]], weights: list[float], neighbors: int
) -> dict[int, dict[int, float]]:
    """For each item the items that come after it, by mean weight of the pairs."""
    sums: dict[int, dict[int, float]] = {}
    pairs: dict[int, int] = {}
    for session in reversed(sessions):  # newest first: floats add up in the kernel's order
        for p, i in enumerate(session):
            for q, j in enumerate(session):
                if i != 0 and j != 0 and 1 <= q - p <= len(weights):
                    sums.setdefault(i, {}).setdefault(j, 0.0)
                    sums[i][j] += weights[q - p - 1]
                    pairs[i] = pairs.get(i, 0) + 1
    table = {}
    for i, row in sums.items():
        best = sorted(row, key=lambda j: (-row[j], j))[:neighbors]
        table[i] = {j: row[j] / pairs[i] for j in best}
    return table
