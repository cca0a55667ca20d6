"""The temporal graph from its definition: sets of pairs by day, and sums of fractions."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise


def pairs_of_day(sessions, edge="binary"):
    """{(i, j), i < j: how often i and j were adjacent}; 1 at most if binary."""
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
    """{pair: whole number of 2**-40}, without those that are 0."""
    units = {pair: math.floor(weight * 2**40) for pair, weight in weights.items()}
    return {pair: n for pair, n in units.items() if n}


def within(neighbors, roots, steps):
    """[items within 0, 1, …, steps] of the roots, as sets."""
    found = [set(roots)]
    for _ in range(steps):
        found.append(found[-1] | {other for item in found[-1] for other in neighbors[item]})
    return found
