"""The bootstrap by session, one resample at a time: slow twin of nextclick.evaluation.intervals."""

from __future__ import annotations

import numpy as np


def bootstrap(sums: np.ndarray, prefixes: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """(R, M): draw whole sessions with replacement, add up, divide."""
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, len(sums), size=len(sums))
        ratios.append(sums[drawn].sum(axis=0) / prefixes[drawn].sum())
    return np.array(ratios)
