"""Statistical significance of differences, with respect to test sessions and training seeds.

Two methods are compared by their mean over seeds. The variance of the difference has two sources,
the sample of sessions and the random numbers of the training, and a bootstrap resamples both. Each
of R resamples draws S of S sessions, the same for all methods (the comparison is paired), and n of
the n seeds of each method. The variance of a resampled mean of n seeds is too small by the factor
(n − 1)/n, so its deviation from the mean is scaled by √(n/(n − 1)).

The difference divided by its standard error is compared with Student's t distribution, because a
few seeds give an imprecise estimate of their variance. The degrees of freedom are Satterthwaite's,
with the terms s²/n of the seeds of each method (n − 1 degrees) and the rest (S − 1).

The p-values of all pairs are corrected by Holm's method (Scandinavian Journal of Statistics, 1979),
because a table selects the pairs to show by the same metrics. With 95 % probability no significant
difference is false, for any number of pairs.

A single training of a method with random numbers has no information about other trainings. Such a
pair compares two trained models: only the sessions are resampled, and the result applies to these
models, not to their methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from nextclick.errors import ConfigError, ProtocolError
from nextclick.evaluation.intervals import CONFIDENCE, bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int64Array

N_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """Metric of a method by session and seed.

    Attributes:
        label: name of the method.
        sums: (S, n) float64, a metric summed over the prefixes of each session, by seed.
        prefixes: (S,) int64, number of prefixes of each session, the same for all methods.
        deterministic: whether all seeds give the same model.
    """

    label: str
    sums: Float64Array
    prefixes: Int64Array
    deterministic: bool = False

    @property
    def n_seeds(self) -> int:
        """Number of trainings."""
        return int(self.sums.shape[1])

    @property
    def represents_method(self) -> bool:
        """Whether a comparison applies to the method, not only to its trained models."""
        return self.deterministic or self.n_seeds > 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Comparison of two methods on the same sessions.

    Attributes:
        first: label of the better method; of equal ones, the first in the list.
        second: label of the other method.
        difference: metric of `first` minus metric of `second`.
        low: lower bound of the 95 % confidence interval, not corrected for the number of pairs.
        high: upper bound of the same interval.
        error: standard error of the difference.
        p: two-sided p-value of the difference.
        p_holm: p-value after Holm's correction for all pairs.
        scope: what the comparison applies to: "methods", or "models" if one of them was trained
            once and is not deterministic.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    error: float
    p: float
    p_holm: float
    scope: Literal["methods", "models"]

    @property
    def significant(self) -> bool:
        """Whether the difference is statistically significant, corrected for all pairs."""
        return self.p_holm <= 1 - CONFIDENCE


def all_pairs(
    methods: Sequence[Method], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> list[Pair]:
    """Compare all pairs of methods; the better method is the first of its pair.

    Args:
        methods: k methods.
        n_resamples: R.
        seed: seed of the resampling.

    Returns:
        k (k − 1) / 2 pairs, in the order of the methods.

    Raises:
        ProtocolError: the methods were not evaluated on the same prefixes.
        ConfigError: there are fewer than two sessions.
    """
    if len(methods) < 2:
        return []
    _check(methods)
    prefixes = methods[0].prefixes
    sums = np.hstack([method.sums for method in methods])  # (S, sum of n)
    resampled = bootstrap(sums, prefixes, n_resamples=n_resamples, seed=seed)  # (R, sum of n)
    observed = sums.sum(axis=0) / prefixes.sum()  # (sum of n,)
    rng = np.random.default_rng([seed, 1])
    ends = np.cumsum([method.n_seeds for method in methods])[:-1]
    means = [part.mean() for part in np.split(observed, ends)]
    seed_variances = [_seed_variance(part) for part in np.split(observed, ends)]
    # each (R,)
    means_resampled = [_resample_seeds(part, rng) for part in np.split(resampled, ends, axis=1)]
    compared = []
    for a, b in combinations(range(len(methods)), 2):
        i, j = (a, b) if means[a] >= means[b] else (b, a)
        variance = float(np.var(means_resampled[i] - means_resampled[j], ddof=1))
        terms: list[tuple[float | None, int]] = [
            (seed_variances[n], methods[n].n_seeds - 1) for n in (i, j) if seed_variances[n] > 0
        ]
        terms.append((None, len(prefixes) - 1))
        pair = _pair(float(means[i] - means[j]), variance, terms)
        compared.append((methods[i], methods[j], pair))
    corrected = holm([pair["p"] for _, _, pair in compared])
    return [
        Pair(
            first=first.label,
            second=second.label,
            **pair,
            p_holm=p_holm,
            scope="methods" if first.represents_method and second.represents_method else "models",
        )
        for (first, second, pair), p_holm in zip(compared, corrected, strict=True)
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction of m p-values: the i-th smallest times m − i + 1, kept monotonic.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(ps)
    corrected = [0.0] * m
    previous = 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda n: ps[n])):
        previous = max(previous, min((m - rank) * ps[index], 1.0))
        corrected[index] = previous
    return corrected


def satterthwaite_df(variance: float, terms: Sequence[tuple[float | None, int]]) -> float:
    """Satterthwaite's degrees of freedom of a variance that is a sum.

    Args:
        variance: the sum.
        terms: terms of the sum with their degrees of freedom; None is the rest of the sum.
    """
    rest = max(variance - sum(term for term, _ in terms if term is not None), 0.0)
    return variance**2 / sum((rest if term is None else term) ** 2 / df for term, df in terms)


def t_p_value(t: float, df: float) -> float:
    """Two-sided p-value: the probability of |T| ≥ |t| for Student's t.

    Args:
        t: a difference divided by its standard error.
        df: degrees of freedom, above 0, not necessarily an integer.

    >>> round(t_p_value(12.706, 1), 4), round(t_p_value(-2.0, 1e9), 4)
    (0.05, 0.0455)
    """
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def t_quantile(confidence: float, df: float) -> float:
    """The t with P(|T| ≤ t) = `confidence` for Student's t with `df` degrees of freedom.

    >>> round(t_quantile(0.95, 2), 3)
    4.303
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + confidence) / 2))


def _pair(
    difference: float, variance: float, terms: Sequence[tuple[float | None, int]]
) -> dict[str, float]:
    """Interval, standard error and p-value of a difference; `terms` as in `satterthwaite_df`."""
    error, half_width, p = variance**0.5, 0.0, float(difference == 0)
    if error > 0:  # else the difference is the same in every resample
        df = satterthwaite_df(variance, terms)
        half_width, p = t_quantile(CONFIDENCE, df) * error, t_p_value(difference / error, df)
    return {
        "difference": difference,
        "low": difference - half_width,
        "high": difference + half_width,
        "error": error,
        "p": p,
    }


def _seed_variance(values: Float64Array) -> float:
    """Variance s²/n of the mean of n seeds; 0 for a single seed, where it is unknown."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0


def _resample_seeds(ratios: Float64Array, rng: np.random.Generator) -> Float64Array:
    """(R,) mean of n resampled seeds in each resample (R, n), with its deviation scaled."""
    R, n = ratios.shape
    mean: Float64Array = ratios.mean(axis=1)
    if n == 1:
        return mean
    counts = rng.multinomial(n, np.full(n, 1 / n), size=R)  # (R, n)
    resampled: Float64Array = (counts * ratios).sum(axis=1) / n
    scaled: Float64Array = mean + (n / (n - 1)) ** 0.5 * (resampled - mean)
    return scaled


def _check(methods: Sequence[Method]) -> None:
    first = methods[0]
    if len(first.prefixes) < 2:
        raise ConfigError(
            f"significance needs at least 2 sessions, got {len(first.prefixes)}; use a larger test "
            "split"
        )
    for other in methods[1:]:
        if not np.array_equal(first.prefixes, other.prefixes):
            raise ProtocolError(
                f"{first.label} and {other.label} were not evaluated on the same prefixes; "
                "evaluate both on the same store with the same options"
            )
