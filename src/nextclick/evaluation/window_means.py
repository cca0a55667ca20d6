"""Mean of a metric over the windows of a backtest, with Student's t interval."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING

from nextclick.evaluation.intervals import CONFIDENCE, Estimate
from nextclick.evaluation.significance import t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence


def mean_over_windows(values: Sequence[float]) -> Estimate:
    """Mean of n values and the interval mean ± t(n − 1) s/√n; no interval for one value.

    The interval covers a further window of the same log. It is wide for few windows, and the
    windows are treated as independent, although each trains on the sessions of the earlier ones.

    >>> mean_over_windows([0.5, 0.7]).value
    0.6
    >>> mean_over_windows([0.5]).low
    """
    n, mean = len(values), fmean(values)
    if n == 1:
        return Estimate(mean)
    half_width = t_quantile(CONFIDENCE, n - 1) * stdev(values) / n**0.5
    return Estimate(mean, mean - half_width, mean + half_width)
