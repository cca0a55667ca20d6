"""Basic profile of a log: session lengths, item popularity and click activity over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY, MS_PER_SECOND

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
TOP_PERCENTS = (0.1, 1, 5, 10, 20, 50)
HOURS = 24
_MS_PER_HOUR = 3600 * MS_PER_SECOND
_CURVE_POINTS = 100  # of the rank-frequency curve
_CHUNK_CLICKS = 4_000_000
_FIRST_DATE = 100_000_000 * MS_PER_SECOND  # 1973: `prepare` does not treat smaller times as dates


@dataclass(frozen=True, slots=True)
class SessionLengths:
    """Clicks per session, including clicks on unknown items.

    Attributes:
        mean: mean number of clicks.
        quantiles: quantiles by name, such as `p50`.
        longest: clicks of the longest session.
        lengths: the lengths that occur, ascending.
        sessions: number of sessions of each length.
    """

    mean: float
    quantiles: dict[str, int]
    longest: int
    lengths: list[int]
    sessions: list[int]


@dataclass(frozen=True, slots=True)
class PopularityProfile:
    """Distribution of the clicks over the clicked items.

    Attributes:
        items: number of items with at least one click.
        clicks: clicks on these items, excluding items unseen in training.
        unknown_clicks: clicks on items unseen in training.
        shares_of_top: by percentage of the items, such as `1%`: share of the clicks on that
            fraction of the items, most clicked first, rounded up to whole items.
        ranks: about a hundred ranks from 1 to `items`, evenly spaced on a logarithmic axis.
        frequencies: clicks on the item at each of these ranks.
        cumulative_shares: share of the clicks on the items up to each of these ranks.
    """

    items: int
    clicks: int
    unknown_clicks: int
    shares_of_top: dict[str, float]
    ranks: list[int]
    frequencies: list[int]
    cumulative_shares: list[float]


@dataclass(frozen=True, slots=True)
class ClickActivity:
    """Clicks by hour of the day and by day.

    Attributes:
        clock: `UTC`, or `log` if times are not dates but count from the start of the log.
        first_ms: time of the first click, milliseconds since the epoch.
        last_ms: time of the last click.
        clicks_by_hour: clicks in each of the 24 hours of the day.
        days: days with at least one click, as `2017-10-01`.
        clicks_by_day: clicks on each of `days`.
        sessions_by_day: sessions whose last click falls on each of `days`.
    """

    clock: str
    first_ms: int
    last_ms: int
    clicks_by_hour: list[int]
    days: list[str]
    clicks_by_day: list[int]
    sessions_by_day: list[int]


def session_lengths(sessions: Sessions) -> SessionLengths:
    """Compute the distribution of session lengths."""
    lengths, counts = np.unique(sessions.lengths(), return_counts=True)
    cumulative = np.cumsum(counts)
    positions = np.searchsorted(cumulative, np.array(QUANTILES) * cumulative[-1])
    return SessionLengths(
        mean=float(lengths @ counts / cumulative[-1]),
        quantiles={
            f"p{100 * q:.0f}": int(n) for q, n in zip(QUANTILES, lengths[positions], strict=True)
        },
        longest=int(lengths[-1]),
        lengths=lengths.tolist(),
        sessions=counts.tolist(),
    )


def item_popularity(sessions: Sessions) -> PopularityProfile | None:
    """Rank items by clicks.

    Returns:
        None if no item of the training part was clicked.
    """
    support = sessions.support()
    clicks = np.sort(support[1:][support[1:] > 0])[::-1]
    n = len(clicks)
    if n == 0:
        return None
    shares = np.cumsum(clicks) / clicks.sum()
    ranks = np.unique(np.rint(np.geomspace(1, n, _CURVE_POINTS)).astype(np.int64))
    return PopularityProfile(
        items=n,
        clicks=int(clicks.sum()),
        unknown_clicks=int(support[0]),
        shares_of_top={
            f"{percent:g}%": float(shares[int(np.ceil(n * percent / 100)) - 1])
            for percent in TOP_PERCENTS
        },
        ranks=ranks.tolist(),
        frequencies=clicks[ranks - 1].tolist(),
        cumulative_shares=shares[ranks - 1].tolist(),
    )


def click_activity(sessions: Sessions) -> ClickActivity:
    """Count clicks by hour of the day and by day, both in UTC.

    Raises:
        ValueError: the sessions have no times.
    """
    if sessions.times is None:
        raise ValueError("click activity needs times, but these sessions have none")
    ends = session_ends(sessions)
    first = int(sessions.times[sessions.offsets[:-1]].min())
    last = int(ends.max())
    first_day = first // MS_PER_DAY
    n_days = last // MS_PER_DAY - first_day + 1
    by_hour = np.zeros(HOURS, np.int64)
    by_day = np.zeros(n_days, np.int64)
    for start in range(0, len(sessions.times), _CHUNK_CLICKS):  # never copies the whole log
        times = sessions.times[start : start + _CHUNK_CLICKS]
        by_hour += np.bincount(times // _MS_PER_HOUR % HOURS, minlength=HOURS)
        by_day += np.bincount(times // MS_PER_DAY - first_day, minlength=n_days)
    sessions_by_day = np.bincount(ends // MS_PER_DAY - first_day, minlength=n_days)
    days = np.flatnonzero(by_day)
    return ClickActivity(
        clock="UTC" if first >= _FIRST_DATE else "log",
        first_ms=first,
        last_ms=last,
        clicks_by_hour=by_hour.tolist(),
        days=[str(np.datetime64(int(day), "D")) for day in first_day + days],
        clicks_by_day=by_day[days].tolist(),
        sessions_by_day=sessions_by_day[days].tolist(),
    )


def session_ends(sessions: Sessions) -> Int64Array:
    """(S,) int64, time of the last click of each session in milliseconds."""
    assert sessions.times is not None
    ends: Int64Array = np.asarray(sessions.times[sessions.offsets[1:] - 1])
    return ends
