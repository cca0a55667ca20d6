"""Whether a difference is beyond chance: the chance of the sessions, and that of the training.

Two methods are held against each other by their mean over seeds. Other visitors, or other random
numbers in training, would have given another difference. How much another, a bootstrap tells that
draws both: in each of R resamples S of S sessions, the same for all (the comparison is paired), and
for each method n of its n seeds. A drawn mean of n seeds stands too near to the mean of all n, by
√((n − 1)/n), so its distance is stretched by the inverse.

The difference by its standard error over the resamples is held against Student's t, since few
seeds know little of their own spread. Its degrees of freedom are Satterthwaite's, for the part
s²/n of each method's seeds (n − 1 of them) and the rest (S − 1).

Which pair a table shows is chosen by the same figures, so that the probabilities of all pairs are
corrected by Holm's method (Scandinavian Journal of Statistics, 1979): with 95 % probability none
of the claims is false, however many pairs there are.

One training of a method that draws random numbers says nothing about the method's other trainings.
Such a pair compares two trained models: only the sessions are resampled, and the claim is of these
models alone.
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
    """What a method gave, session by session.

    Attributes:
        label: its name.
        sums: (S, n) float64, a metric summed over the prefixes of each session, by seed.
        prefixes: (S,) int64, how many these are, the same for all contestants.
        deterministic: whether every seed would give the same, so that one training is the method.
    """

    label: str
    sums: Float64Array
    prefixes: Int64Array
    deterministic: bool = False

    @property
    def n_seeds(self) -> int:
        """How many trainings there are."""
        return int(self.sums.shape[1])

    @property
    def is_method(self) -> bool:
        """Whether its trainings say anything about trainings that were not made."""
        return self.deterministic or self.n_seeds > 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Two contestants on the same sessions.

    Attributes:
        first: the one that is better, or was named first.
        second: the other.
        difference: first less second.
        low: of its 95 % interval, not corrected for the number of pairs.
        high: of the same.
        error: standard error of the difference over the resamples.
        p: the probability that chance alone gives so large a difference.
        p_holm: the same, corrected for all pairs.
        about: "methods", or "models" if one of them was trained once and is not deterministic.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    error: float
    p: float
    p_holm: float
    about: Literal["methods", "models"]

    @property
    def claimed(self) -> bool:
        """Whether the difference is beyond chance, all pairs considered."""
        return self.p_holm <= 1 - CONFIDENCE


def all_pairs(
    contestants: Sequence[Method], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> list[Pair]:
    """Hold each against each, the better one first.

    Args:
        contestants: k of them.
        n_resamples: R.
        seed: of the resampling.

    Returns:
        k (k − 1) / 2 pairs, in the order of the contestants.

    Raises:
        ProtocolError: they were not asked about the same prefixes.
        ConfigError: there are fewer than two sessions.
    """
    if len(contestants) < 2:
        return []
    _check(contestants)
    prefixes = contestants[0].prefixes
    sums = np.hstack([one.sums for one in contestants])  # (S, sum of n)
    resampled = bootstrap(sums, prefixes, n_resamples=n_resamples, seed=seed)  # (R, sum of n)
    observed = sums.sum(axis=0) / prefixes.sum()  # (sum of n,)
    rng = np.random.default_rng([seed, 1])
    ends = np.cumsum([one.n_seeds for one in contestants])[:-1]
    means = [part.mean() for part in np.split(observed, ends)]
    seed_parts = [_seed_variance(part) for part in np.split(observed, ends)]
    drawn = [_seeds_drawn(part, rng) for part in np.split(resampled, ends, axis=1)]  # each (R,)
    found = []
    for a, b in combinations(range(len(contestants)), 2):
        i, j = (a, b) if means[a] >= means[b] else (b, a)
        parts = [(seed_parts[n], contestants[n].n_seeds - 1) for n in (i, j) if seed_parts[n] > 0]
        variance = float(np.var(drawn[i] - drawn[j], ddof=1))
        of_sessions = (None, len(prefixes) - 1)
        pair = _pair(float(means[i] - means[j]), variance, [*parts, of_sessions])
        found.append((contestants[i], contestants[j], pair))
    corrected = holm([pair["p"] for _, _, pair in found])
    return [
        Pair(
            first=first.label,
            second=second.label,
            **pair,
            p_holm=p_holm,
            about="methods" if first.is_method and second.is_method else "models",
        )
        for (first, second, pair), p_holm in zip(found, corrected, strict=True)
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Correct m probabilities: the i-th smallest times m − i + 1, never below a smaller one.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(ps)
    corrected = [0.0] * m
    least = 0.0
    for rank, at in enumerate(sorted(range(m), key=lambda n: ps[n])):
        least = max(least, min((m - rank) * ps[at], 1.0))
        corrected[at] = least
    return corrected


def freedom(variance: float, parts: Sequence[tuple[float | None, int]]) -> float:
    """Satterthwaite's degrees of freedom of a variance that is a sum.

    Args:
        variance: the sum.
        parts: its terms with the degrees of freedom of each; None is what the others leave.
    """
    rest = max(variance - sum(part for part, _ in parts if part is not None), 0.0)
    terms = [(rest if part is None else part) ** 2 / n for part, n in parts]
    return variance**2 / sum(terms)


def t_p_value(t: float, freedom: float) -> float:
    """Two-sided p-value: the probability of |T| ≥ |t| for Student's t.

    Args:
        t: a difference divided by its standard error.
        freedom: degrees of freedom, above 0, not necessarily a whole number.

    >>> round(t_p_value(12.706, 1), 4), round(t_p_value(-2.0, 1e9), 4)
    (0.05, 0.0455)
    """
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


def t_quantile(confidence: float, freedom: float) -> float:
    """The t with P(|T| ≤ t) = `confidence` for Student's t.

    >>> round(t_quantile(0.95, 2), 3)
    4.303
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _pair(
    difference: float, variance: float, parts: Sequence[tuple[float | None, int]]
) -> dict[str, float]:
    """The figures of a pair but for Holm's, of the variance and its parts as in `freedom`."""
    error, reach, p = variance**0.5, 0.0, float(difference == 0)
    if error > 0:  # else no session and no seed could have changed it
        nu = freedom(variance, parts)
        reach, p = t_quantile(CONFIDENCE, nu) * error, t_p_value(difference / error, nu)
    return {
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        "error": error,
        "p": p,
    }


def _seed_variance(values: Float64Array) -> float:
    """s²/n of the mean of n seeds; 0 for one, of which nothing is known."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0


def _seeds_drawn(ratios: Float64Array, rng: np.random.Generator) -> Float64Array:
    """(R,) the mean of n drawn of n seeds in each resample, (R, n), its distance stretched."""
    R, n = ratios.shape
    mean: Float64Array = ratios.mean(axis=1)
    if n == 1:
        return mean
    times = rng.multinomial(n, np.full(n, 1 / n), size=R)  # (R, n)
    drawn: Float64Array = (times * ratios).sum(axis=1) / n
    stretched: Float64Array = mean + (n / (n - 1)) ** 0.5 * (drawn - mean)
    return stretched


def _check(contestants: Sequence[Method]) -> None:
    first = contestants[0]
    if len(first.prefixes) < 2:
        raise ConfigError(
            f"significance needs 2 sessions or more, got {len(first.prefixes)}; give a larger test"
        )
    for other in contestants[1:]:
        if not np.array_equal(first.prefixes, other.prefixes):
            raise ProtocolError(
                f"{first.label} and {other.label} were not asked about the same prefixes; evaluate "
                "both on the same store with the same options"
            )
