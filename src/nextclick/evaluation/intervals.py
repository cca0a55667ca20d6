"""Percentile bootstrap by session.

The prefixes of a session are correlated, so sessions are resampled, not prefixes. A metric is the
ratio Σ metric over prefixes / Σ prefixes of the sessions drawn (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, sections 8 and 13.3).

Drawing S of S sessions at random from a table of tens of megabytes would wait for memory at every
draw. The sessions are therefore cut into chunks that fit the cache: how many of the S draws fall
into each chunk is multinomial, and within a chunk a draw is uniform. This is the same
distribution, not an approximation of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextclick.core.types import Float64Array, Int64Array

CONFIDENCE = 0.95
CHUNK = 8192  # sessions whose sums stay in the cache while all resamples draw from them
RESAMPLES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric and its 95 % interval; low and high are None where none was asked for."""

    value: float
    low: float | None = None
    high: float | None = None


def bootstrap(
    sums: Float64Array, prefixes: Int64Array, *, n_resamples: int = 1000, seed: int = 0
) -> Float64Array:
    """(R, M) float64, the M metrics of R resamples of the sessions.

    Differences of two scorers on the same sessions are metrics too: their interval is paired.

    Args:
        sums: (S, M) float64, each metric summed over the prefixes of each session.
        prefixes: (S,) int64, prefixes of each session, at least 1.
        n_resamples: R, at least 1.
        seed: the same seed draws the same sessions.

    Raises:
        ConfigError: `n_resamples` or the number of sessions is below 1.
    """
    if n_resamples < 1:
        raise ConfigError(f"n_resamples must be at least 1, got {n_resamples}")
    if not len(sums):
        raise ConfigError("expected at least one session to resample, got none")
    rng = np.random.default_rng(seed)
    table = np.column_stack([sums, prefixes])  # (S, M + 1)
    starts = np.arange(0, len(table), CHUNK)  # (C,)
    sizes = np.diff(starts, append=len(table))
    draws = rng.multinomial(len(table), sizes / len(table), size=n_resamples)  # (R, C)
    totals = _totals(table, starts, draws, rng)  # (R, M + 1)
    ratios: Float64Array = totals[:, :-1] / totals[:, -1:]
    return ratios


def estimates(
    names: list[str], sums: Float64Array, prefixes: Int64Array, *, n_bootstrap: int, seed: int
) -> dict[str, Estimate]:
    """The M metrics with their intervals; `n_bootstrap` 0 leaves the intervals out.

    Args:
        names: of the M metrics.
        sums: (S, M) float64, each metric summed over the prefixes of each session.
        prefixes: (S,) int64, prefixes of each session, at least 1.
        n_bootstrap: how many resamples.
        seed: of the resampling.
    """
    values = sums.sum(axis=0) / prefixes.sum()  # (M,)
    if n_bootstrap == 0:
        return {name: Estimate(float(value)) for name, value in zip(names, values, strict=True)}
    resampled = bootstrap(sums, prefixes, n_resamples=n_bootstrap, seed=seed)  # (R, M)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)  # (M,), (M,)
    return {
        name: Estimate(float(values[m]), float(low[m]), float(high[m]))
        for m, name in enumerate(names)
    }


def _totals(
    table: Float64Array, starts: Int64Array, draws: Int64Array, rng: np.random.Generator
) -> Float64Array:
    """(R, M + 1), the sum of the rows of `table` that each of R resamples draws."""
    totals = np.zeros((len(draws), table.shape[1]))
    state = rng.integers(0, 2**64, size=1, dtype=np.uint64)
    for c, start in enumerate(starts):
        rows = table[start : start + CHUNK]
        for begin in range(0, len(draws), RESAMPLES_AT_ONCE):
            part = slice(begin, begin + RESAMPLES_AT_ONCE)
            times = np.zeros((len(draws[part]), len(rows)))
            _draw(state, draws[part, c], times)
            totals[part] += times @ rows
    return totals


@numba.njit(cache=True)
def _draw(state: NDArray[np.uint64], n_draws: Int64Array, times: Float64Array) -> None:
    """Add to times[r] how often each of its columns comes up in n_draws[r] uniform draws.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) in place of NumPy's generator: a call for each
    draw would cost four times the rest. `state` (1,) moves on.
    """
    bound = np.uint64(times.shape[1])
    half = np.uint64(32)
    z = np.uint64(0)
    for r in range(len(n_draws)):
        for n in range(n_draws[r]):
            if n % 2 == 0:
                state[0] += np.uint64(0x9E3779B97F4A7C15)
                z = (state[0] ^ (state[0] >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z ^= z >> np.uint64(31)
            else:
                z >>= half  # the upper half of the number serves the second draw
            times[r, ((z & np.uint64(0xFFFFFFFF)) * bound) >> half] += 1.0
