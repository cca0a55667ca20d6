"""The repeat model the slow and obvious way: every click of every session is looked at."""

from __future__ import annotations

from collections import Counter

WINDOW = 100
Cell = tuple[int, int, int]


def bucket(n: int, tops: list[int]) -> int:
    """Number of the first top that n does not exceed."""
    return sum(n > top for top in tops)


def features(clicks: list[int]) -> dict[int, Cell]:
    """Each item of a session with its cell: steps back, clicks on it, distinct items."""
    distinct = bucket(len(set(clicks)), [1, 2, 3, 5])
    return {
        item: (
            bucket(clicks[::-1].index(item) + 1, [1, 2, 3, 4, 5, 7, 10, 20]),
            bucket(clicks.count(item), [1, 2]),
            distinct,
        )
        for item in clicks
    }


def counts(sessions: list[list[int]]) -> tuple[Counter[Cell], Counter[Cell]]:
    """How often items were offered, and returned to; for sessions of up to `WINDOW` clicks."""
    offered: Counter[Cell] = Counter()
    returned: Counter[Cell] = Counter()
    for session in sessions:
        known = [item for item in session if item != 0]
        for t in range(1, len(known)):
            own = features(known[:t])
            offered.update(own.values())
            if known[t] in own:
                returned[own[known[t]]] += 1
    return offered, returned


def probability(cell: Cell, sessions: list[list[int]]) -> float:
    """The smoothed share of the times that an item of this cell was returned to."""
    offered, returned = counts(sessions)
    share = sum(returned.values()) / max(sum(offered.values()), 1)
    for depth in (1, 2, 3):
        n, m = (
            sum(k for other, k in c.items() if other[:depth] == cell[:depth])
            for c in (returned, offered)
        )
        share = (n + 20 * share) / (m + 20)
    return share


def rescored(
    sessions: list[list[int]], clicks: list[int], votes: dict[int, float], n_items: int
) -> dict[int, float]:
    """The scores of a neighbor model with those of the items of the session replaced."""
    p = {item: probability(cell, sessions) for item, cell in features(clicks).items()}
    others = {item: vote for item, vote in votes.items() if item not in p}
    total = sum(vote**1.25 for vote in others.values()) or 1.0
    odds = total / (1 - min(sum(p.values()), 0.99))
    scores = dict(others)
    for item in p:
        plain = (p[item] * odds) ** 0.8
        vote = votes.get(item, 0.0)
        scores[item] = plain**0.875 * vote**0.125 if vote > 0 else plain
        if p[item] * n_items < 1:
            scores[item] = -1.0
    return scores
