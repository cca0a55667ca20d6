import numpy as np
import pytest

from nextclick.errors import ConfigError
from nextclick.serving.sessions.click_times import relative_times

KNOWN = np.array([True, False, True])


@pytest.mark.parametrize(
    ("known", "times", "now", "gaps", "waited"),
    [
        ([True, False, True], [10, 15, 40.5], 41.5, [0.0, 30.5], 1.0),
        ([True, False], [10, 15], 17, [0.0], 7.0),
        ([True, True], [10, 15], None, [0.0, 5.0], 0.0),
        ([False], [3], 9, [], 0.0),
        ([], [], None, [], 0.0),
    ],
)
def test_gaps_reach_over_unknown_clicks_and_waiting_begins_at_the_last_known_one(
    known, times, now, gaps, waited
):
    found = relative_times(np.array(known, dtype=bool), times, now)
    assert (found[0].tolist(), found[1]) == (gaps, waited)
    assert found[0].dtype == np.float32


def test_without_times_nothing_is_known():
    assert relative_times(KNOWN, None, None) == (None, 0.0)


@pytest.mark.parametrize(
    ("times", "now", "message"),
    [
        (None, 5.0, "now needs times"),
        ([1, 2], None, "times must be one number for each of 3 clicks"),
        ([[1], [2], [3]], None, "times must be one number for each of 3 clicks"),
        ([1, 3, 2], None, "times must be finite and non-decreasing"),
        ([1, 2, 3], 2.5, "times must be finite and non-decreasing"),
        ([1, 2, float("nan")], None, "times must be finite and non-decreasing"),
        (["a", 2, 3], None, "times and now must be numbers of seconds"),
        ([1, 2, 3], [1.0], "times and now must be numbers of seconds"),
    ],
)
def test_bad_times_are_refused(times, now, message):
    with pytest.raises(ConfigError, match=message):
        relative_times(KNOWN, times, now)
