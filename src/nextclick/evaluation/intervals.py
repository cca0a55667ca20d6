"""Confidence intervals by a percentile bootstrap over sessions.

The prefixes of a session are correlated, so sessions are resampled, not prefixes. A metric is the
ratio Σ metric over prefixes / Σ prefixes of the resampled sessions (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, sections 8 and 13.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int64Array

CONFIDENCE = 0.95
_MAX_COUNTS = 2_000_000  # (resample, session) counts in memory at a time: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric and its 95 % confidence interval; low and high are None without an interval."""

    value: float
    low: float | None = None
    high: float | None = None


def bootstrap(
    sums: Float64Array, prefixes: Int64Array, *, n_resamples: int = 1000, seed: int = 0
) -> Float64Array:
    """(R, M) float64, the M metrics of R resamples of the sessions.

    The difference of two scorers on the same sessions is a metric as well; its interval is paired.

    Args:
        sums: (S, M) float64, each metric summed over the prefixes of each session.
        prefixes: (S,) int64, number of prefixes of each session, at least 1.
        n_resamples: R, at least 1.
        seed: seed of the resampling.

    Raises:
        ConfigError: `n_resamples` or the number of sessions is below 1.
    """
    totals = _resampled_totals(np.column_stack([sums, prefixes]), n_resamples, seed)  # (R, M + 1)
    ratios: Float64Array = totals[:, :-1] / totals[:, -1:]
    return ratios


def ratio_estimates(
    names: Sequence[str],
    numerators: Float64Array,
    denominators: Float64Array,
    *,
    n_bootstrap: int,
    seed: int,
) -> dict[str, Estimate | None]:
    """M ratios Σ numerator / Σ denominator over sessions, with their confidence intervals.

    A session may lack a denominator. A ratio is None if all lack it; its interval is over the
    resamples that have it.

    Args:
        names: names of the M ratios.
        numerators: (S, M) float64, sums over each session.
        denominators: (S, M) float64, at least 0.
        n_bootstrap: number of resamples; 0 omits the intervals.
        seed: seed of the resampling.
    """
    M = len(names)
    sums = np.column_stack([numerators, denominators])  # (S, 2 M)
    totals = sums.sum(axis=0)
    ends = np.full((2, M), np.nan)
    if n_bootstrap and len(sums):
        resampled = _resampled_totals(sums, n_bootstrap, seed)  # (R, 2 M)
        has_any = resampled[:, M:] > 0
        ratios = np.full(has_any.shape, np.nan)
        np.divide(resampled[:, :M], resampled[:, M:], out=ratios, where=has_any)
        tail = (1 - CONFIDENCE) / 2
        for m in np.flatnonzero(has_any.any(axis=0)):
            ends[:, m] = np.nanquantile(ratios[:, m], [tail, 1 - tail])
    return {
        name: None
        if totals[M + m] <= 0
        else Estimate(float(totals[m] / totals[M + m]), _known(ends[0, m]), _known(ends[1, m]))
        for m, name in enumerate(names)
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _resampled_totals(table: Float64Array, n_resamples: int, seed: int) -> Float64Array:
    """(R, C) float64, the totals of the columns of (S, C) in resamples of the rows.

    Raises:
        ConfigError: `n_resamples` or the number of sessions is below 1.
    """
    if n_resamples < 1:
        raise ConfigError(f"n_resamples must be at least 1, got {n_resamples}")
    if not len(table):
        raise ConfigError("expected at least one session to resample, got none")
    rng = np.random.default_rng(seed)
    S = len(table)
    totals = np.empty((n_resamples, table.shape[1]))  # (R, C)
    chunk_size = max(_MAX_COUNTS // S, 1)
    for start in range(0, n_resamples, chunk_size):
        chunk = totals[start : start + chunk_size]
        counts = np.empty((len(chunk), S))  # multiplicity of each session in each resample
        for row in counts:
            row[:] = np.bincount(rng.integers(0, S, size=S, dtype=np.int32), minlength=S)
        chunk[:] = counts @ table
    return totals


def estimates(
    names: list[str], sums: Float64Array, prefixes: Int64Array, *, n_bootstrap: int, seed: int
) -> dict[str, Estimate]:
    """The M metrics with their confidence intervals; `n_bootstrap` 0 omits the intervals.

    Args:
        names: names of the M metrics.
        sums: (S, M) float64, each metric summed over the prefixes of each session.
        prefixes: (S,) int64, number of prefixes of each session, at least 1.
        n_bootstrap: number of resamples.
        seed: seed of the resampling.
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
