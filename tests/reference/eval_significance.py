"""The standard error of a difference by drawing sessions and seeds one by one: slow twin."""

from __future__ import annotations

import numpy as np


def standard_error(
    first: np.ndarray, second: np.ndarray, prefixes: np.ndarray, n_resamples: int, seed: int
) -> float:
    """Of mean(first) less mean(second), each (S, n) sums by session and seed."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_resamples):
        sessions = [int(rng.integers(len(prefixes))) for _ in prefixes]
        total = sum(prefixes[s] for s in sessions)
        means = []
        for sums in (first, second):
            n = sums.shape[1]
            ratios = [sum(sums[s, k] for s in sessions) / total for k in range(n)]
            mean = sum(ratios) / n
            drawn = sum(ratios[int(rng.integers(n))] for _ in range(n)) / n
            stretch = (n / (n - 1)) ** 0.5 if n > 1 else 1.0
            means.append(mean + stretch * (drawn - mean))
        found.append(means[0] - means[1])
    return float(np.std(found, ddof=1))
