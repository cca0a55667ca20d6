"""Random items in a list, and the exact probability that each item is shown.

Exploration replaces items of a finished list. Each of the F positions that are not pinned is chosen
with probability ε, independently. The chosen positions get different items of C, the candidates
outside the list, drawn uniformly; with caps, C has those that the caps admit together with the
list. If more than |C| positions are chosen, |C| of them are explored, drawn uniformly. With m the
number of explored positions, the probability that an item is shown is

    1 - E[m] / F    for an item of the list,    E[m] / |C|    for an item of C,    1 if it is pinned

and E[m] = Σ min(n, |C|) Binomial(n; F, ε), which is F ε if |C| is at least F.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int32Array, Int64Array


def explore_list(
    items: Int32Array,
    propensity: Float64Array,
    free: Int64Array,
    others: list[int],
    explore: float,
    rng: np.random.Generator,
) -> Int64Array:
    """Replace items at free positions by other candidates, in place; return these positions."""
    if not len(free) or not others:
        return free[:0]
    mean = expected_explored(len(free), len(others), explore)
    propensity[free] = 1.0 - mean / len(free)
    n = min(int(rng.binomial(len(free), explore)), len(others))
    positions = rng.choice(free, n, replace=False)
    items[positions] = rng.choice(np.array(others, dtype=np.int32), n, replace=False)
    propensity[positions] = mean / len(others)
    return positions


def exploration_rng(seed: int, clicks: Int32Array) -> np.random.Generator:
    """The generator of a session: equal clicks and an equal seed give an equal list.

    Args:
        seed: of the exploration.
        clicks: (T,) the known clicks.
    """
    return np.random.default_rng([seed, *clicks.tolist()])


def expected_explored(n_positions: int, n_candidates: int, explore: float) -> float:
    """E[m], the mean number of explored positions.

    >>> round(expected_explored(10, 90, 0.1), 9), round(expected_explored(2, 1, 0.5), 9)
    (1.0, 0.75)
    """
    mean = n_positions * explore
    if n_candidates < n_positions and explore > 0:
        # E[min(n, M)] = E[n] - Σ over n > M of (n - M) Binomial(n; F, ε)
        logs = math.log(explore), math.log1p(-explore)
        for n in range(n_candidates + 1, n_positions + 1):
            log_ways = math.lgamma(n_positions + 1) - math.lgamma(n + 1)
            log_ways -= math.lgamma(n_positions - n + 1)
            chance = math.exp(log_ways + n * logs[0] + (n_positions - n) * logs[1])
            mean -= (n - n_candidates) * chance
    return mean
