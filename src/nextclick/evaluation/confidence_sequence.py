"""Tests that stay valid when they are looked at after every visitor: always-valid inference.

A test of fixed size is wrong far more often than its level says if it is read every day and
stopped at the first significant difference. The two tests here may be read at any moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nextclick.errors import ConfigError

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class SequentialEstimate:
    """A difference at one look.

    Attributes:
        difference: its estimate.
        low: lower end of the confidence sequence.
        high: its upper end.
        p_value: always-valid p-value of this look, in (0, 1]; that of several looks is the
            smallest.
    """

    difference: float
    low: float
    high: float
    p_value: float


def mixture_sequence(
    difference: float, variance: float, *, scale: float, alpha: float = ALPHA
) -> SequentialEstimate:
    """The mixture sequential probability ratio test of a difference, and its confidence sequence.

    With the estimate D of a difference d, the variance V of D, and a normal prior N(0, τ²) of d,
    the mixture likelihood ratio against d = 0 is

        Λ = sqrt(V / (V + τ²)) · exp(τ² D² / (2 V (V + τ²)))

    (the mixture SPRT of Robbins, 1970, as in Johari, Koomen, Pekelis and Walsh, Peeking at A/B
    tests, KDD 2017, with V = σ²/n). Λ is a nonnegative martingale under d = 0, so by Ville's
    inequality P(Λ ≥ 1/α at any look) ≤ α. The p-value is min(1, 1/Λ). The d that the test of
    "difference = d" does not reject are the confidence sequence

        |D − d| ≤ sqrt( V (V + τ²) / τ² · log((V + τ²) / (α² V)) )

    With v = 1/V and ρ = 1/τ², this is the two-sided normal mixture boundary of the sum D / V,
    sqrt((v + ρ) log((v + ρ) / (α² ρ))). Source: Howard, Ramdas, McAuliffe and Sekhon, Time-uniform,
    nonparametric, nonasymptotic confidence sequences, Annals of Statistics 2021. The estimated
    variance makes both valid for large samples only.

    Worked by hand: D = 0.02, V = 0.0001, τ = 0.01. V + τ² = 0.0002, Λ = sqrt(0.5) · exp(0.0001 ·
    0.0004 / (2 · 0.0001 · 0.0002)) = 0.7071 · e = 1.9221. Half-width sqrt(0.0001 · 0.0002 / 0.0001
    · log(2 / 0.0025)) = sqrt(0.0002 · 6.6846) = 0.036564.

    Args:
        difference: D.
        variance: V, above 0.
        scale: τ, the size of the differences that the test is most sensitive to; chosen before
            the test.
        alpha: probability of a false claim over all looks.

    Raises:
        ConfigError: `scale` or `variance` is not above 0.

    >>> one = mixture_sequence(0.02, 0.0001, scale=0.01)
    >>> round(one.p_value, 4), round(one.high - one.difference, 6)
    (0.5203, 0.036564)
    """
    if not scale > 0 or not variance > 0:
        raise ConfigError(
            f"scale and variance of a sequential test must be above 0, got {scale} and {variance}"
        )
    prior = scale**2
    total = variance + prior
    log_ratio = 0.5 * math.log(variance / total) + prior * difference**2 / (2 * variance * total)
    half = math.sqrt(variance * total / prior * math.log(total / (alpha**2 * variance)))
    p_value = math.exp(-max(log_ratio, 0.0))
    return SequentialEstimate(difference, difference - half, difference + half, p_value)


def split_p_value(first: int, second: int, share: float) -> float:
    """Always-valid p-value of "units are assigned to the first arm with probability `share`".

    With n₁ and n₂ assigned units and a uniform prior of the probability, the mixture likelihood
    ratio is

        Λ = n₁! n₂! / (n₁ + n₂ + 1)! / (s^n₁ (1 − s)^n₂)

    (Robbins, 1970; Lindon and Malek, Anytime-valid inference for multinomial count data, 2022, with
    Dirichlet(1, 1)). The p-value is min(1, 1/Λ).

    Worked by hand: n₁ = 3, n₂ = 0, s = 1/2: Λ = 3! / 4! · 8 = 2, p = 1/2.

    Args:
        first: n₁.
        second: n₂.
        share: s, in (0, 1).

    >>> split_p_value(3, 0, 0.5), split_p_value(500, 500, 0.5)
    (0.5, 1.0)
    """
    log_ratio = (
        math.lgamma(first + 1)
        + math.lgamma(second + 1)
        - math.lgamma(first + second + 2)
        - first * math.log(share)
        - second * math.log1p(-share)
    )
    return round(math.exp(-max(log_ratio, 0.0)), 12)
