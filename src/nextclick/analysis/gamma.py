"""Gamma and log-normal distributions fitted to gaps by maximum likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array

_MOST_STEPS = 100
_CLOSE = 1e-12  # relative change of the shape at which the iteration ends


@dataclass(frozen=True, slots=True)
class GammaFit:
    """Density x^(shape − 1) e^(−x / scale) / (Γ(shape) scale^shape) of gaps x in seconds.

    Attributes:
        shape: below 1 the density falls from the start, above 1 it has a peak.
        scale: in seconds; shape · scale is the mean.
        mean_log_density: mean over the gaps of the log of the density (nats): higher fits better.
    """

    shape: float
    scale: float
    mean_log_density: float

    def density(self, x: Float64Array) -> Float64Array:
        """Of x > 0 in seconds, per second."""
        log_norm = math.lgamma(self.shape) + self.shape * math.log(self.scale)
        density: Float64Array = np.exp((self.shape - 1) * np.log(x) - x / self.scale - log_norm)
        return density


@dataclass(frozen=True, slots=True)
class LogNormalFit:
    """The logarithm of the gap is normal: the alternative to the gamma distribution.

    Attributes:
        mean_log: mean of ln(gap in seconds); e to its power is the median gap.
        sd_log: standard deviation of it.
        mean_log_density: as for the gamma distribution.
    """

    mean_log: float
    sd_log: float
    mean_log_density: float

    def density(self, x: Float64Array) -> Float64Array:
        """Of x > 0 in seconds, per second."""
        z = (np.log(x) - self.mean_log) / self.sd_log
        density: Float64Array = np.exp(-(z**2) / 2) / (x * self.sd_log * math.sqrt(2 * math.pi))
        return density


def fit_gamma(values: AnyArray, counts: AnyArray) -> GammaFit | None:
    """Fit shape and scale to gaps.

    The likelihood is largest where scale = mean / shape and

        ln shape − ψ(shape) = ln(mean) − mean of ln

    which is solved by Newton's iteration on 1/shape (Minka 2002, "Estimating a Gamma
    distribution"): it converges from the usual closed approximation in a handful of steps.

    Args:
        values: (V,) gaps in seconds, each above 0.
        counts: (V,) how often each stands.

    Returns:
        None if there are no two different gaps.
    """
    from scipy.special import digamma, polygamma

    mean, mean_log, variance_log = _moments(values, counts)
    if variance_log == 0:
        return None
    spread = math.log(mean) - mean_log  # above 0 as not all are equal
    shape = (3 - spread + math.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread)
    for _ in range(_MOST_STEPS):
        off = math.log(shape) - float(digamma(shape)) - spread
        better = 1 / (1 / shape + off / (shape**2 * (1 / shape - float(polygamma(1, shape)))))
        done = abs(better - shape) <= _CLOSE * shape
        shape = better
        if done:
            break
    scale = mean / shape
    log_norm = math.lgamma(shape) + shape * math.log(scale)
    return GammaFit(shape, scale, (shape - 1) * mean_log - shape - log_norm)


def fit_lognormal(values: AnyArray, counts: AnyArray) -> LogNormalFit | None:
    """Fit mean and deviation of the logarithms; arguments and result as for `fit_gamma`."""
    _, mean_log, variance = _moments(values, counts)
    if variance == 0:
        return None
    mean_log_density = -mean_log - 0.5 * math.log(2 * math.pi * variance) - 0.5
    return LogNormalFit(mean_log, math.sqrt(variance), mean_log_density)


def _moments(values: AnyArray, counts: AnyArray) -> tuple[float, float, float]:
    """Mean, mean of the logarithm, variance of the logarithm; 0 if all are equal."""
    if len(values) < 2:
        return float(values.sum()), float(np.log(values).sum()), 0.0
    weights = counts / counts.sum()
    logs = np.log(values)
    mean_log = float(weights @ logs)
    return float(weights @ values), mean_log, float(weights @ (logs - mean_log) ** 2)
