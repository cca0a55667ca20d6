"""Gaps: counted by hand and by an obvious twin; zeros, invented times, coarse clocks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.analysis.click_gaps import count_gaps, gaps
from nextclick.core.sessions import Sessions

HOUR = 3_600_000


def log_of(times):
    log = Sessions.from_lists([[1] * len(session) for session in times], 1)
    return replace(log, times=np.array([ms for session in times for ms in session], dtype=np.int64))


def from_gaps(sessions):
    return log_of([np.cumsum([0, *session]).tolist() for session in sessions])


def test_every_distinct_gap_is_counted():
    found = count_gaps(log_of([[0, 5, 10, 10], [7], [3, 8, 8 + 3 * HOUR]]))
    assert found.values.tolist() == [0, 5, 3 * HOUR]
    assert found.counts.tolist() == [1, 3, 1]
    assert found.last.tolist() == [1, 0, 1]


def test_the_figures_by_hand():
    found = gaps(from_gaps([[1000, 0, 3000], [2000, 0], [4000]]))
    assert (found.gaps, found.zeros, found.used) == (6, 2, 4)
    assert found.resolution_seconds == 1
    assert found.mean_seconds == 2.5
    assert found.max_seconds == 4
    assert found.quantiles_seconds["p50"] == 2
    assert found.quantiles_seconds["p99"] == 4
    assert sum(found.histogram.counts) == 4
    assert found.histogram.edges_seconds == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.histogram.counts == [1, 1, 1, 1]


@given(
    st.lists(
        st.lists(st.one_of(st.integers(0, 50), st.integers(0, 5 * HOUR)), max_size=6),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([1, 1000, 60_000]),
)
def test_against_the_twin(sessions, clock):
    sessions = [[clock * gap for gap in session] for session in sessions]
    everything = np.array([gap for session in sessions for gap in session])
    positive = np.sort(everything[everything > 0])
    found = gaps(from_gaps(sessions))
    if len(positive) == 0:
        assert found is None
        return
    assert not found.commonest.invented  # too few to tell
    assert (found.gaps, found.zeros, found.used) == (
        len(everything),
        (everything == 0).sum(),
        len(positive),
    )
    assert found.mean_seconds == pytest.approx(positive.mean() / 1000)
    assert found.resolution_seconds == np.gcd.reduce(positive) / 1000
    for name, value in found.quantiles_seconds.items():
        q = float(name[1:]) / 100
        assert value == np.quantile(positive, q, method="inverted_cdf") / 1000
    edges = np.array(found.log_histogram.edges_seconds)
    assert (np.diff(edges) > 0).all()
    assert edges[0] < positive[0] / 1000
    assert edges[-1] > positive[-1] / 1000
    assert sum(found.log_histogram.counts) == len(positive)
    p95 = found.quantiles_seconds["p95"]
    assert sum(found.histogram.counts) >= (positive / 1000 <= p95).sum()
    assert len(found.histogram.counts) <= 60
    values, counts = np.unique(positive, return_counts=True)
    assert found.commonest.gaps == counts.max()
    assert found.commonest.seconds in values[counts == counts.max()] / 1000


def test_an_invented_last_gap_is_told_and_left_out():
    rng = np.random.default_rng(0)
    honest = [rng.integers(1, 90_000, 2).tolist() for _ in range(300)]
    sessions = [[*session, 30_000] for session in honest]
    found = gaps(from_gaps(sessions))
    assert found.commonest.invented
    assert (found.commonest.seconds, found.commonest.before_last) == (30, 300)
    plain = gaps(from_gaps(honest))
    assert found.used == plain.used == 600
    assert found.gamma == plain.gamma
    assert found.histogram == plain.histogram


def test_a_timer_in_the_midst_of_sessions_is_told_and_kept():
    found = gaps(from_gaps([[10_000, 10_000, n] for n in range(1, 200)]))
    assert (found.commonest.seconds, found.commonest.before_last) == (10, 0)
    assert not found.commonest.invented
    assert found.used == 3 * 199


def test_nothing_but_invented_gaps_or_zeros_leaves_nothing():
    assert gaps(from_gaps([[30_000]] * 200)) is None
    assert gaps(from_gaps([[0, 0], []])) is None


def test_times_that_are_not_there_or_fall_are_refused():
    with pytest.raises(ValueError, match="these sessions have no times"):
        gaps(Sessions.from_lists([[1, 2]]))
    with pytest.raises(ValueError, match="the times of a session must not fall"):
        gaps(log_of([[5, 3]]))
