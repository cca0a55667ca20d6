"""Standard error of a difference by resampling sessions and seeds one by one: slow version."""

from __future__ import annotations

import numpy as np


def standard_error(
    first: np.ndarray, second: np.ndarray, prefixes: np.ndarray, n_resamples: int, seed: int
) -> float:
    """Standard error of mean(first) - mean(second), each (S, n) sums by session and seed."""
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(n_resamples):
        sessions = [int(rng.integers(len(prefixes))) for _ in prefixes]
        total = sum(prefixes[s] for s in sessions)
        means = []
        for sums in (first, second):
            n = sums.shape[1]
            ratios = [sum(sums[s, k] for s in sessions) / total for k in range(n)]
            mean = sum(ratios) / n
            resampled = sum(ratios[int(rng.integers(n))] for _ in range(n)) / n
            scale = (n / (n - 1)) ** 0.5 if n > 1 else 1.0
            means.append(mean + scale * (resampled - mean))
        differences.append(means[0] - means[1])
    return float(np.std(differences, ddof=1))
