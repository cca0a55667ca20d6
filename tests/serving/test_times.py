import numpy as np
import pytest

from nextclick.errors import ConfigError
from nextclick.serving.times import read_times

KNOWN = [np.array([True, False, True]), np.array([], dtype=bool), np.array([False])]


def test_gaps_reach_over_unknown_clicks_and_waiting_begins_at_the_last_known_one():
    gaps, waited = read_times(KNOWN, [[10, 15, 40.5], [], [3]], [41.5, None, 9])
    np.testing.assert_array_equal(gaps, [[0, 30.5], [np.nan, np.nan], [np.nan, np.nan]])
    assert waited.tolist() == [1.0, 0.0, 0.0]
    gaps, waited = read_times([KNOWN[0][:2]], [[10, 15]], 17)
    assert gaps.tolist() == [[0.0]]
    assert waited.tolist() == [7.0]


def test_without_times_nothing_is_known():
    assert read_times(KNOWN, None, None) == (None, None)
    gaps, _ = read_times(KNOWN, [None, None, None], None)
    assert np.isnan(gaps).all()


@pytest.mark.parametrize(
    ("times", "now", "message"),
    [
        (None, 5.0, "now needs times"),
        ([[1, 2, 3]], None, "times must have an entry for each of 3 sessions, got 1"),
        ([[1, 2], [], [1]], None, "times must be one number for each of 3 clicks"),
        ([[1, 3, 2], [], [1]], None, "times must be finite and never fall"),
        ([[1, 2, 3], [], [1]], 2.5, "times must be finite and never fall"),
        ([[1, 2, float("nan")], [], [1]], None, "times must be finite and never fall"),
        ([["a", 2, 3], [], [1]], None, "times and now must be seconds"),
        ([[1, 2, 3], [], [1]], [1.0], "now must have an entry for each of 3 sessions, got 1"),
    ],
)
def test_bad_times_are_refused(times, now, message):
    with pytest.raises(ConfigError, match=message):
        read_times(KNOWN, times, now)
