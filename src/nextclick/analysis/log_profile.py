"""The basic profile of a log: how long sessions are, what is popular, when people click."""

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
_RANKS = 100  # points of the rank-frequency curve
_ROWS = 4_000_000
_FIRST_DATE = 100_000_000 * MS_PER_SECOND  # 1973: `prepare` takes smaller times for no dates


@dataclass(frozen=True, slots=True)
class SessionLengths:
    """Clicks per session, those on unknown items included.

    Attributes:
        mean: clicks.
        quantiles: by name such as `p50`.
        longest: clicks of the longest session.
        lengths: every length that occurs, ascending.
        sessions: how many sessions have each of them.
    """

    mean: float
    quantiles: dict[str, int]
    longest: int
    lengths: list[int]
    sessions: list[int]


@dataclass(frozen=True, slots=True)
class Popularity:
    """How clicks are spread over the items that were clicked.

    Attributes:
        items: items with a click.
        clicks: on these; clicks on items unseen in training are left out.
        unknown_clicks: how many those are.
        shares_of_top: by percent of the items, such as `1%`: the share of the clicks on that
            part of them, the most clicked first; rounded up to whole items.
        ranks: about a hundred ranks between 1 and `items`, evenly spread on a logarithmic axis.
        frequencies: clicks of the item at each of these ranks.
        cumulative_shares: share of the clicks on the items down to each of these ranks.
    """

    items: int
    clicks: int
    unknown_clicks: int
    shares_of_top: dict[str, float]
    ranks: list[int]
    frequencies: list[int]
    cumulative_shares: list[float]


@dataclass(frozen=True, slots=True)
class Activity:
    """When people click.

    Attributes:
        clock: `UTC`, or `log` for times that are no dates but count from the start of the log.
        first_ms: the first click, milliseconds since the epoch.
        last_ms: the last one.
        clicks_by_hour: clicks in each of the 24 hours of the day.
        days: every day with a click or the end of a session, as `2017-10-01`.
        clicks_by_day: for each of `days`.
        sessions_by_day: sessions whose last click is on that day.
    """

    clock: str
    first_ms: int
    last_ms: int
    clicks_by_hour: list[int]
    days: list[str]
    clicks_by_day: list[int]
    sessions_by_day: list[int]


def session_lengths(sessions: Sessions) -> SessionLengths:
    """Count the sessions of every length."""
    lengths, counts = np.unique(sessions.lengths(), return_counts=True)
    up_to = np.cumsum(counts)
    places = np.searchsorted(up_to, np.array(QUANTILES) * up_to[-1])
    return SessionLengths(
        mean=float(lengths @ counts / up_to[-1]),
        quantiles={
            f"p{100 * q:.0f}": int(n) for q, n in zip(QUANTILES, lengths[places], strict=True)
        },
        longest=int(lengths[-1]),
        lengths=lengths.tolist(),
        sessions=counts.tolist(),
    )


def popularity(sessions: Sessions) -> Popularity | None:
    """Rank items by their clicks.

    Returns:
        None if no item of training was clicked.
    """
    support = sessions.support()
    clicks = np.sort(support[1:][support[1:] > 0])[::-1]
    n = len(clicks)
    if n == 0:
        return None
    shares = np.cumsum(clicks) / clicks.sum()
    ranks = np.unique(np.rint(np.geomspace(1, n, _RANKS)).astype(np.int64))
    return Popularity(
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


def activity(sessions: Sessions) -> Activity:
    """Count clicks by hour of the day and by day, both in UTC.

    Raises:
        ValueError: the sessions have no times.
    """
    if sessions.times is None:
        raise ValueError("these sessions have no times, so no hours and days")
    ends = session_ends(sessions)
    first = int(sessions.times[sessions.offsets[:-1]].min())
    last = int(ends.max())
    origin = first // MS_PER_DAY
    n_days = last // MS_PER_DAY - origin + 1
    by_hour = np.zeros(HOURS, np.int64)
    by_day = np.zeros(n_days, np.int64)
    for start in range(0, len(sessions.times), _ROWS):  # the log itself is never copied whole
        times = sessions.times[start : start + _ROWS]
        by_hour += np.bincount(times // _MS_PER_HOUR % HOURS, minlength=HOURS)
        by_day += np.bincount(times // MS_PER_DAY - origin, minlength=n_days)
    ended = np.bincount(ends // MS_PER_DAY - origin, minlength=n_days)
    days = np.flatnonzero(by_day)
    return Activity(
        clock="UTC" if first >= _FIRST_DATE else "log",
        first_ms=first,
        last_ms=last,
        clicks_by_hour=by_hour.tolist(),
        days=[str(np.datetime64(int(day), "D")) for day in origin + days],
        clicks_by_day=by_day[days].tolist(),
        sessions_by_day=ended[days].tolist(),
    )


def session_ends(sessions: Sessions) -> Int64Array:
    """(S,) int64, milliseconds, the last click of each session."""
    assert sessions.times is not None
    ends: Int64Array = np.asarray(sessions.times[sessions.offsets[1:] - 1])
    return ends
