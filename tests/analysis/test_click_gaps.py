"""Click gaps: by hand and by a naive implementation; zeros, placeholder times, coarse clocks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.analysis.click_gaps import click_gaps, count_gaps
from nextclick.core.sessions import Sessions

HOUR = 3_600_000


def log_of(times):
    log = Sessions.from_lists([[1] * len(session) for session in times], 1)
    return replace(log, times=np.array([ms for session in times for ms in session], dtype=np.int64))


def from_gaps(sessions):
    return log_of([np.cumsum([0, *session]).tolist() for session in sessions])


def test_every_distinct_gap_is_counted():
    gaps = count_gaps(log_of([[0, 5, 10, 10], [7], [3, 8, 8 + 3 * HOUR]]))
    assert gaps.values.tolist() == [0, 5, 3 * HOUR]
    assert gaps.counts.tolist() == [1, 3, 1]
    assert gaps.before_last.tolist() == [1, 0, 1]


def test_the_figures_by_hand():
    gaps = click_gaps(from_gaps([[1000, 0, 3000], [2000, 0], [4000]]))
    assert (gaps.gaps, gaps.zeros, gaps.used) == (6, 2, 4)
    assert gaps.resolution_seconds == 1
    assert gaps.mean_seconds == 2.5
    assert gaps.max_seconds == 4
    assert gaps.quantiles_seconds["p50"] == 2
    assert gaps.quantiles_seconds["p99"] == 4
    assert sum(gaps.histogram.counts) == 4
    assert gaps.histogram.edges_seconds == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert gaps.histogram.counts == [1, 1, 1, 1]


@given(
    st.lists(
        st.lists(st.one_of(st.integers(0, 50), st.integers(0, 5 * HOUR)), max_size=6),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([1, 1000, 60_000]),
)
def test_against_a_naive_implementation(sessions, clock):
    sessions = [[clock * gap for gap in session] for session in sessions]
    everything = np.array([gap for session in sessions for gap in session])
    positive = np.sort(everything[everything > 0])
    gaps = click_gaps(from_gaps(sessions))
    if len(positive) == 0:
        assert gaps is None
        return
    assert not gaps.most_frequent.is_placeholder  # too few to tell
    assert (gaps.gaps, gaps.zeros, gaps.used) == (
        len(everything),
        (everything == 0).sum(),
        len(positive),
    )
    assert gaps.mean_seconds == pytest.approx(positive.mean() / 1000)
    assert gaps.resolution_seconds == np.gcd.reduce(positive) / 1000
    for name, value in gaps.quantiles_seconds.items():
        q = float(name[1:]) / 100
        assert value == np.quantile(positive, q, method="inverted_cdf") / 1000
    edges = np.array(gaps.log_histogram.edges_seconds)
    assert (np.diff(edges) > 0).all()
    assert edges[0] < positive[0] / 1000
    assert edges[-1] > positive[-1] / 1000
    assert sum(gaps.log_histogram.counts) == len(positive)
    p95 = gaps.quantiles_seconds["p95"]
    assert sum(gaps.histogram.counts) >= (positive / 1000 <= p95).sum()
    assert len(gaps.histogram.counts) <= 60
    values, counts = np.unique(positive, return_counts=True)
    assert gaps.most_frequent.gaps == counts.max()
    assert gaps.most_frequent.seconds in values[counts == counts.max()] / 1000


def test_a_placeholder_before_last_clicks_is_reported_and_excluded():
    rng = np.random.default_rng(0)
    genuine = [rng.integers(1, 90_000, 2).tolist() for _ in range(300)]
    sessions = [[*session, 30_000] for session in genuine]
    gaps = click_gaps(from_gaps(sessions))
    assert gaps.most_frequent.is_placeholder
    assert (gaps.most_frequent.seconds, gaps.most_frequent.before_last) == (30, 300)
    plain = click_gaps(from_gaps(genuine))
    assert gaps.used == plain.used == 600
    assert gaps.gamma == plain.gamma
    assert gaps.histogram == plain.histogram


def test_a_frequent_gap_within_sessions_is_reported_and_included():
    gaps = click_gaps(from_gaps([[10_000, 10_000, n] for n in range(1, 200)]))
    assert (gaps.most_frequent.seconds, gaps.most_frequent.before_last) == (10, 0)
    assert not gaps.most_frequent.is_placeholder
    assert gaps.used == 3 * 199


def test_only_placeholders_or_zeros_give_no_statistics():
    assert click_gaps(from_gaps([[30_000]] * 200)) is None
    assert click_gaps(from_gaps([[0, 0], []])) is None


def test_missing_or_decreasing_times_are_rejected():
    with pytest.raises(ValueError, match="click gaps need times, but these sessions have none"):
        click_gaps(Sessions.from_lists([[1, 2]]))
    with pytest.raises(
        ValueError, match="the times of a session must not decrease; sort its clicks by time"
    ):
        click_gaps(log_of([[5, 3]]))
