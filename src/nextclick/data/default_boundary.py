"""The default start of the test part: late enough to train on, early enough to measure on.

The test part is the first of these periods that is large enough: the last day, the last days that
carry their share of the log, and the last tenth of the sessions. Sessions that end long after the
others, or in the future, decide none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import Int64Array

MIN_PREFIXES = 1_000  # in the test; fewer rarely show a difference between models
_MIN_SHARE = 0.01  # of the sessions, in the test
_MAX_SHARE = 0.5
_TENTH = 0.1
_POPULATED = 0.1  # share of the sessions of a typical day
_LONG_GAP_MS = 30 * MS_PER_DAY
_MAX_LATE = 0.01  # share of the sessions; a larger group after the others is part of the log
_DAY, _POPULATED_DAYS, _LAST_TENTH = "last-day", "populated-days", "last-tenth"


@dataclass(frozen=True, slots=True)
class DefaultBoundary:
    """The start of the test part.

    Attributes:
        n_train: number of sessions before it.
        boundary_ms: milliseconds since the epoch.
        rule: `last-day`, `populated-days` or `last-tenth`.
        reason: why this rule applies, for people.
    """

    n_train: int
    boundary_ms: int
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class LateSessions:
    """Sessions at the end of a log whose times are doubtful.

    Attributes:
        future: sessions that end later than now.
        isolated: other sessions that end long after the rest of the log.
    """

    future: int
    isolated: int

    @property
    def count(self) -> int:
        """Number of these sessions, the last of the log."""
        return self.future + self.isolated


def find_late_sessions(ends: Int64Array, now_ms: int) -> LateSessions:
    """Count the sessions whose times do not say where the log ends.

    These are the sessions that end later than now, unless all do; and at most a hundredth of the
    sessions, at least one, that end long after the others: more than a day after the last day that
    carries its share, or after a gap of more than 30 days that is longer than the log before it.

    Args:
        ends: (S,) int64 milliseconds, ascending, time of the last click of each session.
        now_ms: present time, milliseconds since the epoch.
    """
    n = int(np.searchsorted(ends, now_ms, side="right")) or len(ends)
    future = len(ends) - n
    max_late = max(1, int(_MAX_LATE * n))
    first_late = n
    if n > 1:
        next_day = (_populated_days(ends[:n])[-1] + 2) * MS_PER_DAY
        first_late = int(np.searchsorted(ends[:n], next_day))
        if n - first_late > max_late:
            first_late = n
        candidates = np.arange(max(n - max_late, 1), n)
        gaps = ends[candidates] - ends[candidates - 1]
        spans = ends[candidates - 1] - ends[0]
        after_gap = candidates[(gaps > _LONG_GAP_MS) & (gaps > spans)]
        first_late = min(first_late, int(after_gap.min(initial=n)))
    if first_late < 2:  # too few sessions to say which of them are late
        first_late = n
    return LateSessions(future, n - first_late)


def last_trusted_end(ends: Int64Array, now_ms: int) -> int:
    """Return the end of the last session whose time says where the log ends, in milliseconds.

    Args:
        ends: (S,) int64 milliseconds in any order, time of the last click of each session; S ≥ 1.
        now_ms: present time, milliseconds since the epoch.
    """
    ascending = np.sort(ends)
    return int(ascending[-1 - find_late_sessions(ascending, now_ms).count])


def default_boundary(
    ends: Int64Array, count_prefixes: Callable[[int, int], int], now_ms: int
) -> DefaultBoundary:
    """Choose the start of the test part.

    Args:
        ends: (S,) int64 milliseconds, ascending, time of the last click of each session; S ≥ 1.
        count_prefixes: returns the number of prefixes of the sessions start..stop - 1, without
            items that the sessions before them have too few clicks on.
        now_ms: present time, milliseconds since the epoch.

    >>> ends = np.arange(40) * (MS_PER_DAY // 10)  # ten sessions a day
    >>> default_boundary(ends, lambda start, stop: 30 * (stop - start), now_ms=2**50).rule
    'last-tenth'
    >>> default_boundary(ends, lambda start, stop: 300 * (stop - start), now_ms=2**50).n_train
    29
    """
    n = len(ends) - find_late_sessions(ends, now_ms).count
    ends = ends[:n]
    first_day = int(ends[-1]) - MS_PER_DAY
    start = int(np.searchsorted(ends, first_day))
    n_prefixes = count_prefixes(start, n)
    last_day = (
        f"the last day has {n - start:,} of {n:,} sessions ({(n - start) / n:.2%}) "
        f"and {n_prefixes:,} prefixes of items known from training"
    )
    if _has_share(start, n) and n_prefixes >= MIN_PREFIXES:
        return DefaultBoundary(start, first_day, _DAY, last_day)
    days = _populated_days(ends)
    for n_days, day in enumerate(days[::-1].tolist(), start=1):
        start = int(np.searchsorted(ends, day * MS_PER_DAY))
        if _has_share(start, n) and count_prefixes(start, n) >= MIN_PREFIXES:
            return DefaultBoundary(
                start,
                day * MS_PER_DAY,
                _POPULATED_DAYS,
                f"{last_day}, so the test begins with the last {_days(n_days)} of at least "
                f"{_POPULATED:.0%} of the sessions of a typical day",
            )
    start = n - max(1, round(_TENTH * n))
    return DefaultBoundary(
        start,
        int(ends[start]),
        _LAST_TENTH,
        f"{last_day}, so the test is the last tenth of the sessions",
    )


def _days(n: int) -> str:
    return "day" if n == 1 else f"{n:,} days"


def _has_share(start: int, n: int) -> bool:
    """Whether the sessions from `start` on are neither too few nor too many for a test part."""
    return _MIN_SHARE <= 1 - start / n <= _MAX_SHARE


def _populated_days(ends: Int64Array) -> Int64Array:
    """Return the days (UTC, since the epoch), ascending, that carry their share of the log.

    A typical day is the day of the median session when sessions are sorted by the number of
    sessions of their day, so many nearly empty days do not count.
    """
    days, counts = np.unique(ends // MS_PER_DAY, return_counts=True)
    by_count = np.sort(counts)
    typical = by_count[np.searchsorted(np.cumsum(by_count), by_count.sum() / 2)]
    populated: Int64Array = days[counts >= _POPULATED * typical]
    return populated
