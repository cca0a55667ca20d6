"""The difference of two versions of an A/B test, day by day, with a test that may be read each day.

The test compares a metric Σ y / Σ n over the lists of units (visitors, or sessions without a
visitor), which are assigned at random. The variance of each ratio R is that of the delta method,

    Var(R) = m / (m − 1) · Σ (y_u − R n_u)² / (Σ n_u)²     over m units u

(Deng, Knoblich and Lu, Applying the delta method in metric analytics, KDD 2018), because the lists
of a unit are correlated. `mixture_sequence` makes an always-valid test of the difference.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.errors import ConfigError, nearest
from nextclick.evaluation.confidence_sequence import ALPHA, mixture_sequence, split_p_value
from nextclick.evaluation.online_metrics import RATIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array

MIN_UNITS = 100  # of each version; the test is valid for large samples only


def compare_versions(
    lists: pl.DataFrame,
    versions: Sequence[str],
    *,
    metric: str,
    scale: float,
    shares: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Compare two versions of an A/B test after each day.

    Args:
        lists: see `ShownLists.lists`.
        versions: the first and the second; the difference is second − first.
        metric: a name of `RATIOS`.
        scale: expected size of the difference; see `mixture_sequence`.
        shares: shares of the units that were meant for the two versions; None omits the check.

    Returns:
        `versions`, `metric`, `scale`, `alpha`; `looks`, one for the end of each day, with `day`,
        `units`, `lists` and `values` of both versions, `difference` and its `standard_error`, and
        `low`, `high` and `p_value` (null below `MIN_UNITS` units of a version); `better`: the
        version that is better, or null; `decided_on`: the first day on which the sequence excludes
        0, or null; `p_value`: the smallest of all looks, or null; `split`: null or `shares`,
        `p_value`, `as_planned`.

    Raises:
        ConfigError: no list belongs to one of the versions.
    """
    first, second = versions
    tested = lists.filter(pl.col("arm").is_in([first, second]))
    _check_arms(lists, versions)
    by_unit = _unit_sums(tested, metric)
    looks: list[dict[str, Any]] = []
    better, decided_on, split_p = None, None, 1.0
    for day in sorted(by_unit["day"].unique()):
        arms = [
            by_unit.filter(pl.col("day") <= day, pl.col("arm") == arm)
            .group_by("unit")
            .agg(pl.col("y", "n", "lists").sum())
            for arm in (first, second)
        ]
        look = _look(day, arms, scale)
        looks.append(look)
        if better is None and look["low"] is not None and not look["low"] <= 0 <= look["high"]:
            better, decided_on = (second if look["low"] > 0 else first), look["day"]
        if shares is not None:
            n_first, n_second = look["units"]
            split_p = min(split_p, split_p_value(n_first, n_second, shares[0] / sum(shares)))
    p_values = [look["p_value"] for look in looks if look["p_value"] is not None]
    return {
        "versions": [first, second],
        "metric": metric,
        "scale": scale,
        "alpha": ALPHA,
        "looks": looks,
        "better": better,
        "decided_on": decided_on,
        "p_value": min(p_values, default=None),
        "split": None
        if shares is None
        else {"shares": list(shares), "p_value": split_p, "as_planned": split_p >= ALPHA},
    }


def _check_arms(lists: pl.DataFrame, versions: Sequence[str]) -> None:
    known = sorted(lists["arm"].drop_nulls().unique())
    for version in versions:
        if version not in known:
            hint = nearest(version, known) if known else "it has no test"
            raise ConfigError(
                f"--ab: the event log has no list of an A/B test for version {version}; {hint}; "
                "record one with `serve --ab`"
            )
    if versions[0] == versions[1]:
        raise ConfigError(f"--ab: two different versions are compared, got {versions[0]} twice")


def _unit_sums(tested: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Sums y and n of the metric for each day and unit."""
    numerator, denominator = RATIOS[metric]
    n = pl.lit(1) if denominator is None else pl.col(denominator)
    return (
        tested.with_columns(y=pl.col(numerator).cast(pl.Float64), n=n.cast(pl.Float64))
        .group_by("day", "arm", "unit")
        .agg(pl.col("y", "n").sum(), pl.len().alias("lists"))
    )


def _look(day: Any, arms: Sequence[pl.DataFrame], scale: float) -> dict[str, Any]:
    ratios = [ratio_and_variance(arm["y"].to_numpy(), arm["n"].to_numpy()) for arm in arms]
    look: dict[str, Any] = {
        "day": str(day),
        "units": [len(arm) for arm in arms],
        "lists": [int(arm["lists"].sum()) for arm in arms],
        "values": [None if one is None else one[0] for one in ratios],
    }
    names = ("difference", "standard_error", "low", "high", "p_value")
    look |= dict.fromkeys(names)
    first, second = ratios
    if first is None or second is None:
        return look
    difference, variance = second[0] - first[0], first[1] + second[1]
    look |= {"difference": difference, "standard_error": math.sqrt(variance)}
    if min(look["units"]) < MIN_UNITS or variance <= 0:
        return look
    return look | asdict(mixture_sequence(difference, variance, scale=scale))


def ratio_and_variance(y: Float64Array, n: Float64Array) -> tuple[float, float] | None:
    """Σ y / Σ n over m units, and its variance; None if Σ n is 0.

    Args:
        y: (m,) float64.
        n: (m,) float64, at least 0.

    >>> import numpy as np
    >>> value, variance = ratio_and_variance(np.array([1.0, 0.0]), np.array([2.0, 2.0]))
    >>> value, variance  # 2/1 · (0.5² + 0.5²) / 4²
    (0.25, 0.0625)
    """
    total = float(n.sum())
    if total <= 0:
        return None
    ratio, m = float(y.sum()) / total, len(y)
    residuals = y - ratio * n
    return ratio, float((residuals**2).sum()) / total**2 * m / max(m - 1, 1)
