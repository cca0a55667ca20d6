"""A simple reference of the temporal item graph: pairs by day, and exact sums of fractions."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise


def pairs_of_day(sessions, edge="binary"):
    """{(i, j), i < j: number of adjacent clicks on i and j}, at most 1 if binary."""
    counts = Counter(
        (min(a, b), max(a, b))
        for session in sessions
        for a, b in pairwise(session)
        if a != b and 0 not in (a, b)
    )
    return {pair: 1 if edge == "binary" else n for pair, n in counts.items()}


def exact_weights(days, edge="binary", decay=Fraction(1, 2)):
    """{pair: weight} for the sessions of the day after `days`, as sums of fractions."""
    total = Counter()
    for age, sessions in enumerate(reversed(days)):
        for pair, n in pairs_of_day(sessions, edge).items():
            total[pair] += n * Fraction(decay) ** age
    return dict(total)


def in_units(weights):
    """{pair: weight in units of 2**-40, rounded down}, without zeros."""
    units = {pair: math.floor(weight * 2**40) for pair, weight in weights.items()}
    return {pair: n for pair, n in units.items() if n}


def within(neighbors, roots, steps):
    """[items within 0, 1, …, steps] of the roots, as sets."""
    neighborhoods = [set(roots)]
    for _ in range(steps):
        last = neighborhoods[-1]
        neighborhoods.append(last | {other for item in last for other in neighbors[item]})
    return neighborhoods
