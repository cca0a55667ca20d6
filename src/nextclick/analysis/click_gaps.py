"""Time between the clicks of a session (ASARS, Figure 1, right)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.analysis.gamma import GammaFit, LogNormalFit, fit_gamma, fit_lognormal
from nextclick.core.sessions import MS_PER_SECOND

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Int64Array

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_LINEAR_BINS = 60  # up to the 95th percentile
_BINS_PER_DECADE = 10  # of the logarithmic histogram
# the criteria for a placeholder time, as in the quality warnings of `prepare`
_PLACEHOLDER_SHARE = 0.10
_PLACEHOLDER_RATIO = 5.0
_PLACEHOLDER_MIN_GAPS = 100


@dataclass(frozen=True, slots=True)
class GapCounts:
    """Distinct gaps of a log with their frequencies; all other statistics derive from these.

    Attributes:
        values: (V,) int64, milliseconds, ascending.
        counts: (V,) int64, occurrences of each value.
        before_last: (V,) int64, occurrences that precede the last click of a session.
    """

    values: Int64Array
    counts: Int64Array
    before_last: Int64Array

    def filter(self, mask: BoolArray) -> GapCounts:
        """Select the values for which `mask` is true."""
        return GapCounts(self.values[mask], self.counts[mask], self.before_last[mask])


@dataclass(frozen=True, slots=True)
class MostFrequentGap:
    """The positive gap with the most occurrences, to the millisecond.

    Attributes:
        seconds: its length.
        gaps: number of occurrences.
        before_last: occurrences that precede the last click of a session.
        is_placeholder: whether it is treated as a placeholder that the log's producer filled in
            for an unknown time. This requires that it makes up at least a tenth of all gaps, is
            five times as frequent as the next value, and mostly precedes a last click. Its
            occurrences before a last click are then excluded from quantiles, histograms and fits.
    """

    seconds: float
    gaps: int
    before_last: int
    is_placeholder: bool


@dataclass(frozen=True, slots=True)
class GapHistogram:
    """A histogram of gaps.

    Attributes:
        edges_seconds: (n + 1) bin edges, ascending. Edges lie half a clock step between
            representable times, so that no gap falls on an edge.
        counts: (n) gaps in each bin.
    """

    edges_seconds: list[float]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class GapStatistics:
    """Statistics of the gaps between adjacent clicks of a session.

    Attributes:
        gaps: number of pairs of adjacent clicks.
        zeros: pairs with equal times; excluded from everything below.
        most_frequent: the most frequent positive gap.
        used: number of gaps behind the statistics below: positive and not a placeholder.
        resolution_seconds: greatest common divisor of all gaps, the clock step of the log.
        mean_seconds: mean of the used gaps.
        quantiles_seconds: quantiles of the used gaps by name, such as `p50`; each is an observed
            gap.
        max_seconds: longest used gap.
        gamma: gamma fit, None if all used gaps are equal.
        lognormal: log-normal fit, None if all used gaps are equal.
        histogram: bins of equal width up to about the 95th percentile.
        log_histogram: ten bins per factor of ten over all used gaps, fewer where the clock is
            coarser than a bin.
    """

    gaps: int
    zeros: int
    most_frequent: MostFrequentGap
    used: int
    resolution_seconds: float
    mean_seconds: float
    quantiles_seconds: dict[str, float]
    max_seconds: float
    gamma: GammaFit | None
    lognormal: LogNormalFit | None
    histogram: GapHistogram
    log_histogram: GapHistogram


def click_gaps(sessions: Sessions) -> GapStatistics | None:
    """Count, describe and fit the gaps between adjacent clicks of a session.

    Gaps of 0 are counted and excluded: they result from a coarse clock, and the gamma density has
    no likelihood at 0. All other gaps enter the fit as recorded, rounded to the clock step of the
    log. If the median is only a few clock steps, the fitted shape is biased upward, because the
    shortest gaps are missing.

    Args:
        sessions: S sessions with times.

    Returns:
        None if no positive gap remains.

    Raises:
        ValueError: the sessions have no times.
    """
    counts = count_gaps(sessions)
    positive = counts.filter(counts.values > 0)
    if len(positive.values) == 0:
        return None
    most_frequent = _most_frequent(positive, int(counts.counts.sum()))
    used = _without_placeholder(positive, most_frequent)
    if len(used.values) == 0:  # sessions of two clicks with nothing but placeholder times
        return None
    return _describe(counts, positive, most_frequent, used)


def _describe(
    counts: GapCounts, positive: GapCounts, most_frequent: MostFrequentGap, used: GapCounts
) -> GapStatistics:
    n, total = int(used.counts.sum()), int(counts.counts.sum())
    step = int(np.gcd.reduce(positive.values))
    seconds = used.values / MS_PER_SECOND
    quantiles_ms = _quantiles(used, QUANTILES)
    linear_edges = _linear_edges(quantiles_ms[QUANTILES.index(0.95)], step)
    log_edges = _log_edges(int(used.values[0]), int(used.values[-1]), step)
    return GapStatistics(
        gaps=total,
        zeros=total - int(positive.counts.sum()),
        most_frequent=most_frequent,
        used=n,
        resolution_seconds=step / MS_PER_SECOND,
        mean_seconds=float(seconds @ used.counts) / n,
        quantiles_seconds={
            f"p{100 * q:.0f}": ms / MS_PER_SECOND
            for q, ms in zip(QUANTILES, quantiles_ms, strict=True)
        },
        max_seconds=float(seconds[-1]),
        gamma=fit_gamma(seconds, used.counts),
        lognormal=fit_lognormal(seconds, used.counts),
        histogram=_histogram(used, linear_edges),
        log_histogram=_histogram(used, log_edges),
    )


def count_gaps(sessions: Sessions) -> GapCounts:
    """Count the distinct gaps, in milliseconds.

    Raises:
        ValueError: the sessions have no times, or the times of a session decrease.
    """
    if sessions.times is None:
        raise ValueError("click gaps need times, but these sessions have none")
    times, offsets = np.asarray(sessions.times), sessions.offsets
    lengths = np.diff(offsets)
    within = np.ones(len(times), dtype=np.bool_)  # (E,) False for the first click of a session
    within[offsets[:-1][lengths > 0]] = False
    at = np.flatnonzero(within)
    gaps = times[at] - times[at - 1]
    if gaps.min(initial=0) < 0:
        raise ValueError("the times of a session must not decrease; sort its clicks by time")
    ends = offsets[1:][lengths > 1] - 1  # last clicks that have a click before them
    before_last = np.sort(times[ends] - times[ends - 1])
    values, counts = np.unique(gaps, return_counts=True)
    last = np.diff(np.searchsorted(before_last, values, side="right"), prepend=0)
    return GapCounts(values, counts, last)


def _most_frequent(positive: GapCounts, total: int) -> MostFrequentGap:
    order = np.argsort(positive.counts)
    top = order[-1]
    count, before_last = int(positive.counts[top]), int(positive.before_last[top])
    next_count = int(positive.counts[order[-2]]) if len(order) > 1 else 0
    unlikely_by_chance = (
        total >= _PLACEHOLDER_MIN_GAPS
        and count >= _PLACEHOLDER_SHARE * total
        and count >= _PLACEHOLDER_RATIO * next_count
    )
    return MostFrequentGap(
        seconds=float(positive.values[top]) / MS_PER_SECOND,
        gaps=count,
        before_last=before_last,
        is_placeholder=bool(unlikely_by_chance and 2 * before_last > count),
    )


def _without_placeholder(positive: GapCounts, most_frequent: MostFrequentGap) -> GapCounts:
    if not most_frequent.is_placeholder:
        return positive
    placeholder = positive.values == round(most_frequent.seconds * MS_PER_SECOND)
    remaining = GapCounts(
        positive.values,
        positive.counts - np.where(placeholder, positive.before_last, 0),
        np.where(placeholder, 0, positive.before_last),
    )
    return remaining.filter(remaining.counts > 0)


def _quantiles(gaps: GapCounts, levels: tuple[float, ...]) -> list[int]:
    """Inverse of the empirical distribution function at each level, in milliseconds."""
    cumulative = np.cumsum(gaps.counts)
    positions = np.searchsorted(cumulative, np.array(levels) * cumulative[-1])
    return [int(ms) for ms in gaps.values[positions]]


def _linear_edges(upper: int, step: int) -> AnyArray:
    width = step * max(1, -(-upper // (_LINEAR_BINS * step)))
    n_bins = -(-upper // width)
    return step / 2 + width * np.arange(n_bins + 1)


def _log_edges(smallest: int, largest: int, step: int) -> AnyArray:
    first = np.floor(_BINS_PER_DECADE * np.log10(smallest)) - 1  # one edge below all gaps …
    last = np.ceil(_BINS_PER_DECADE * np.log10(largest)) + 1  # … and one above
    even = 10 ** (np.arange(first, last + 1) / _BINS_PER_DECADE)
    edges = (np.unique(np.floor(even / step)) + 0.5) * step  # between representable times
    return edges[np.searchsorted(edges, smallest) - 1 : np.searchsorted(edges, largest) + 1]


def _histogram(gaps: GapCounts, edges: AnyArray) -> GapHistogram:
    counts, _ = np.histogram(gaps.values, edges, weights=gaps.counts)
    return GapHistogram(
        edges_seconds=(edges / MS_PER_SECOND).tolist(), counts=np.rint(counts).astype(int).tolist()
    )
