"""Student's t with any number of degrees of freedom, whole or not.

The probability of |T| ≥ t is the regularized incomplete beta function I_x(ν/2, 1/2) at
x = ν / (ν + t²), by its continued fraction (Press et al., Numerical Recipes, section 6.4).
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p

_MOST_FREEDOM = 1e6  # from there on the normal distribution to six digits
_TINY = 1e-300
_STEPS = 10_000


def two_sided_p(t: float, freedom: float) -> float:
    """The probability that chance alone gives a t as far from 0.

    Args:
        t: difference by its standard error.
        freedom: degrees of freedom, above 0.

    >>> round(two_sided_p(12.706, 1), 4), round(two_sided_p(-2.0, 1e9), 4)
    (0.05, 0.0455)
    """
    nu = min(freedom, _MOST_FREEDOM)
    if t in (inf, -inf):
        return 0.0
    return _incomplete_beta(nu / (nu + t * t), nu / 2, 0.5)


def quantile(confidence: float, freedom: float) -> float:
    """How far from 0 a t stays with that probability.

    >>> round(quantile(0.95, 2), 3)
    4.303
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided_p(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) for 0 ≤ x ≤ 1."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _not_zero(1 + step * d)
            c = _not_zero(1 + step / c)
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return found


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
