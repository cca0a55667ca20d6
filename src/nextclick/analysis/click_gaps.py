"""How long visitors pause between clicks (ASARS, Figure 1, right)."""

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
_BINS = 60  # of the linear histogram, which ends at the 95th percentile
_PER_DECADE = 10  # bins of the logarithmic one
# as the audit of `prepare` tells an invented time from chance
_COMMON = 0.10
_AHEAD = 5.0
_FEWEST = 100


@dataclass(frozen=True, slots=True)
class GapCounts:
    """Every distinct gap of a log and how often it stands: all that the rest needs.

    Attributes:
        values: (V,) int64, milliseconds, ascending.
        counts: (V,) int64.
        last: (V,) int64, how many of them lead to the last click of their session.
    """

    values: Int64Array
    counts: Int64Array
    last: Int64Array

    def where(self, keep: BoolArray) -> GapCounts:
        """Only some of the values."""
        return GapCounts(self.values[keep], self.counts[keep], self.last[keep])


@dataclass(frozen=True, slots=True)
class Commonest:
    """The one positive gap that stands most often, to the millisecond.

    Attributes:
        seconds: its length.
        gaps: how many there are.
        before_last: how many of them lead to the last click of their session.
        invented: whether it is taken for an invented time: it is at least every tenth gap, five
            times as frequent as the next one, and mostly before a last click. Those before a last
            click are then left out of quantiles, histograms and fits.
    """

    seconds: float
    gaps: int
    before_last: int
    invented: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges.

    Attributes:
        edges_seconds: (n + 1), ascending. They lie half a step of the log's clock beside the times
            that it can show, so that no gap falls on one.
        counts: (n), gaps in each bin.
    """

    edges_seconds: list[float]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Gaps:
    """The panel's figures.

    Attributes:
        gaps: pairs of neighboring clicks in a session.
        zeros: pairs with the same time; they are in no figure below.
        commonest: see there.
        used: what is left for the figures below: positive, and not invented.
        resolution_seconds: greatest common divisor of all gaps: the step of the log's clock.
        mean_seconds: of the used gaps.
        quantiles_seconds: of the used gaps, by name such as `p50`; each is a gap of the log.
        max_seconds: the longest.
        gamma: its fit, None if all used gaps are equal.
        lognormal: the same.
        histogram: bins of equal width up to about the 95th percentile.
        log_histogram: ten bins for each factor of ten, fewer where the clock is too coarse; all
            used gaps.
    """

    gaps: int
    zeros: int
    commonest: Commonest
    used: int
    resolution_seconds: float
    mean_seconds: float
    quantiles_seconds: dict[str, float]
    max_seconds: float
    gamma: GammaFit | None
    lognormal: LogNormalFit | None
    histogram: Histogram
    log_histogram: Histogram


def gaps(sessions: Sessions) -> Gaps | None:
    """Count, describe and fit the gaps between neighboring clicks of a session.

    A gap of 0 says only that the clock was too coarse, and no gamma density has a likelihood there:
    zeros are counted and left out. Other gaps enter the fit as the log has them, rounded to
    its clock; where the median is only a few steps of the clock the fitted shape is too large, as
    the short gaps are missing.

    Args:
        sessions: S sessions with times.

    Returns:
        None if there is no positive gap.

    Raises:
        ValueError: the sessions have no times.
    """
    found = count_gaps(sessions)
    positive = found.where(found.values > 0)
    if len(positive.values) == 0:
        return None
    total = int(found.counts.sum())
    common = _commonest(positive, total)
    used = _without_invented(positive, common)
    n = int(used.counts.sum())
    if n == 0:  # sessions of two clicks with nothing but invented times
        return None
    step = int(np.gcd.reduce(positive.values))
    seconds = used.values / MS_PER_SECOND
    at = _quantiles(used, QUANTILES)
    return Gaps(
        gaps=total,
        zeros=total - int(positive.counts.sum()),
        commonest=common,
        used=n,
        resolution_seconds=step / MS_PER_SECOND,
        mean_seconds=float(seconds @ used.counts) / n,
        quantiles_seconds={
            f"p{100 * q:.0f}": ms / MS_PER_SECOND for q, ms in zip(QUANTILES, at, strict=True)
        },
        max_seconds=float(seconds[-1]),
        gamma=fit_gamma(seconds, used.counts),
        lognormal=fit_lognormal(seconds, used.counts),
        histogram=_histogram(used, _linear_edges(at[QUANTILES.index(0.95)], step)),
        log_histogram=_histogram(used, _log_edges(int(used.values[0]), int(used.values[-1]), step)),
    )


def count_gaps(sessions: Sessions) -> GapCounts:
    """Count every distinct gap, in milliseconds.

    Raises:
        ValueError: the sessions have no times, or a session is not in their order.
    """
    if sessions.times is None:
        raise ValueError("these sessions have no times, so they have no gaps")
    times, offsets = np.asarray(sessions.times), sessions.offsets
    lengths = np.diff(offsets)
    within = np.ones(len(times), dtype=np.bool_)  # (E,) False for the first click of a session
    within[offsets[:-1][lengths > 0]] = False
    at = np.flatnonzero(within)
    gaps = times[at] - times[at - 1]
    if gaps.min(initial=0) < 0:
        raise ValueError("the times of a session must not fall")
    ends = offsets[1:][lengths > 1] - 1  # last clicks that have a click before them
    before_last = np.sort(times[ends] - times[ends - 1])
    values, counts = np.unique(gaps, return_counts=True)
    last = np.diff(np.searchsorted(before_last, values, side="right"), prepend=0)
    return GapCounts(values, counts, last)


def _commonest(positive: GapCounts, total: int) -> Commonest:
    order = np.argsort(positive.counts)
    top = order[-1]
    count, before_last = int(positive.counts[top]), int(positive.last[top])
    runner_up = int(positive.counts[order[-2]]) if len(order) > 1 else 0
    no_accident = total >= _FEWEST and count >= _COMMON * total and count >= _AHEAD * runner_up
    return Commonest(
        seconds=float(positive.values[top]) / MS_PER_SECOND,
        gaps=count,
        before_last=before_last,
        invented=bool(no_accident and 2 * before_last > count),
    )


def _without_invented(positive: GapCounts, common: Commonest) -> GapCounts:
    if not common.invented:
        return positive
    invented = positive.values == round(common.seconds * MS_PER_SECOND)
    left = GapCounts(
        positive.values,
        positive.counts - np.where(invented, positive.last, 0),
        np.where(invented, 0, positive.last),
    )
    return left.where(left.counts > 0)


def _quantiles(found: GapCounts, at: tuple[float, ...]) -> list[int]:
    """The least gap that at least this share of the gaps does not exceed, in milliseconds."""
    up_to = np.cumsum(found.counts)
    places = np.searchsorted(up_to, np.array(at) * up_to[-1])
    return [int(ms) for ms in found.values[places]]


def _linear_edges(upper: int, step: int) -> AnyArray:
    width = step * max(1, -(-upper // (_BINS * step)))
    n_bins = -(-upper // width)
    return step / 2 + width * np.arange(n_bins + 1)


def _log_edges(least: int, most: int, step: int) -> AnyArray:
    first = np.floor(_PER_DECADE * np.log10(least)) - 1  # an edge below all gaps …
    last = np.ceil(_PER_DECADE * np.log10(most)) + 1  # … and one above
    even = 10 ** (np.arange(first, last + 1) / _PER_DECADE)
    edges = (np.unique(np.floor(even / step)) + 0.5) * step  # beside what the clock can show
    return edges[np.searchsorted(edges, least) - 1 : np.searchsorted(edges, most) + 1]


def _histogram(found: GapCounts, edges: AnyArray) -> Histogram:
    counts, _ = np.histogram(found.values, edges, weights=found.counts)
    return Histogram(
        edges_seconds=(edges / MS_PER_SECOND).tolist(), counts=np.rint(counts).astype(int).tolist()
    )
