"""The basic profile: worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.analysis.log_profile import click_activity, item_popularity, session_lengths
from nextclick.core.sessions import MS_PER_DAY, Sessions

HOUR = 3_600_000
FIRST = 17_440 * MS_PER_DAY  # 2017-10-01


def test_session_lengths():
    profile = session_lengths(Sessions.from_lists([[1] * n for n in (2, 2, 2, 3, 9)]))
    assert profile.mean == pytest.approx(18 / 5)
    assert (profile.lengths, profile.sessions) == ([2, 3, 9], [3, 1, 1])
    assert profile.longest == 9
    assert profile.quantiles == {"p50": 2, "p75": 3, "p90": 9, "p95": 9, "p99": 9}


def test_popularity():
    # 6, 3 and 1 clicks, item 4 has none; one click on an unknown item
    log = Sessions.from_lists([[1] * 3, [1] * 3 + [2] * 3, [3, 0]], 4)
    profile = item_popularity(log)
    assert (profile.items, profile.clicks, profile.unknown_clicks) == (3, 10, 1)
    assert (profile.ranks, profile.frequencies) == ([1, 2, 3], [6, 3, 1])
    assert profile.cumulative_shares == pytest.approx([0.6, 0.9, 1.0])
    # the top 10 % of three items are one item, rounded up
    assert profile.shares_of_top["10%"] == pytest.approx(0.6)
    assert profile.shares_of_top["50%"] == pytest.approx(0.9)


def test_popularity_of_many_items_is_sampled():
    log = Sessions.from_lists([list(range(1, 3001)), [1]])
    profile = item_popularity(log)
    assert profile.ranks[0] == 1
    assert profile.ranks[-1] == 3000
    assert 60 < len(profile.ranks) <= 100
    assert profile.frequencies == [2] + [1] * (len(profile.ranks) - 1)
    assert profile.shares_of_top["10%"] == pytest.approx(301 / 3001)


def test_popularity_of_unknown_items_is_none():
    assert item_popularity(Sessions.from_lists([[0, 0]], 3)) is None


def timed(times, n_items=1):
    log = Sessions.from_lists([[1] * len(session) for session in times], n_items)
    flat = np.array([ms for session in times for ms in session], dtype=np.int64)
    return replace(log, times=flat)


def test_activity_by_hour_and_day(monkeypatch):
    monkeypatch.setattr("nextclick.analysis.log_profile._CHUNK_CLICKS", 2)  # in chunks
    late = FIRST + 23 * HOUR
    profile = click_activity(
        timed([[FIRST, FIRST + 1], [late, late + 2 * HOUR], [FIRST + 3 * MS_PER_DAY]])
    )
    assert profile.clock == "UTC"
    assert (profile.first_ms, profile.last_ms) == (FIRST, FIRST + 3 * MS_PER_DAY)
    assert profile.days == ["2017-10-01", "2017-10-02", "2017-10-04"]
    assert profile.clicks_by_day == [3, 1, 1]
    assert profile.sessions_by_day == [1, 1, 1]
    assert [n for n, clicks in enumerate(profile.clicks_by_hour) if clicks] == [0, 1, 23]
    assert sum(profile.clicks_by_hour) == 5


def test_times_that_are_not_dates_use_the_clock_of_the_log():
    assert click_activity(timed([[0, 5 * HOUR]])).clock == "log"


def test_activity_needs_times():
    with pytest.raises(
        ValueError, match="click activity needs times, but these sessions have none"
    ):
        click_activity(Sessions.from_lists([[1]]))
