"""The bootstrap by session without chunks: slow twin of nextclick.evaluation.intervals."""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1


def split_mix(state: int) -> tuple[int, int]:
    """The next state and number of SplitMix64, in Python's unbounded integers."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return state, z ^ (z >> 31)


def draw(state: int, n_draws: list[int], width: int) -> tuple[int, list[list[int]]]:
    """How often each of `width` columns comes up; each number gives two draws, low half first."""
    times = [[0] * width for _ in n_draws]
    for row, n in zip(times, n_draws, strict=True):
        halves: list[int] = []
        for _ in range(n):
            if not halves:
                state, number = split_mix(state)
                halves = [number & 0xFFFFFFFF, number >> 32]
            row[halves.pop(0) * width >> 32] += 1
    return state, times


def bootstrap(sums: np.ndarray, prefixes: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """(R, M): draw whole sessions with replacement, add up, divide."""
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, len(sums), size=len(sums))
        ratios.append(sums[drawn].sum(axis=0) / prefixes[drawn].sum())
    return np.array(ratios)
