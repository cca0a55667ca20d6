"""The bootstrap over sessions, one resample at a time: slow version of evaluation.intervals."""

from __future__ import annotations

import numpy as np


def bootstrap(sums: np.ndarray, prefixes: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """(R, M) metrics of sessions resampled with replacement."""
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(n_resamples):
        sampled = rng.integers(0, len(sums), size=len(sums))
        ratios.append(sums[sampled].sum(axis=0) / prefixes[sampled].sum())
    return np.array(ratios)
