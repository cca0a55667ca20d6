import datetime as dt

import polars as pl
import pytest

from nextclick.data.readers.timestamps import find_format
from nextclick.errors import ConfigError

MOMENT = 1_506_826_828_020  # 2017-10-01T03:00:28.020Z


@pytest.mark.parametrize(
    ("raw", "unit", "milliseconds"),
    [
        (["1506826828.02"], "s", MOMENT),
        ([1506826828.02], "s", MOMENT),
        ([1506826828], "s", MOMENT - 20),
        ([MOMENT], "ms", MOMENT),
        ([str(MOMENT)], "ms", MOMENT),
        ([f"{MOMENT}.0"], "ms", MOMENT),
        ([MOMENT * 1000 + 7], "us", MOMENT),
        ([MOMENT * 1_000_000], "ns", MOMENT),
        (["2017-10-01T03:00:28.020Z"], "iso", MOMENT),
        (["2017-10-01 03:00:28.020"], "iso", MOMENT),
        (["2017-10-01 05:00:28.020+02:00"], "iso", MOMENT),
        (["2017-10-01"], "iso", 1_506_816_000_000),
        (["2017/10/01 03:00:28"], "iso", MOMENT - 20),
    ],
)
def test_the_unit_is_found_and_read(raw, unit, milliseconds):
    times = pl.Series(raw)
    found = find_format(times, None)
    assert found.unit == unit
    assert found.to_milliseconds(times).to_list() == [milliseconds]


def test_a_column_of_times_is_read_as_it_is():
    times = pl.Series([dt.datetime(2017, 10, 1, 3, 0, 28, 20_000)])
    assert find_format(times, None).to_milliseconds(times).to_list() == [MOMENT]


def test_small_numbers_are_seconds_and_it_is_said():
    found = find_format(pl.Series([0, 15, 3000]), None)
    assert found.relative
    assert "counted from the start of the log" in found.describe()


def test_what_the_caller_says_wins():
    times = pl.Series([1_506_826_828])
    found = find_format(times, "ms")
    assert found.to_milliseconds(times).to_list() == [1_506_826_828]
    assert found.describe() == "milliseconds (as asked)"


@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_what_cannot_be_read_is_null(unit):
    good = {"s": "1506826828", "ms": "1506826828020", "iso": "2017-10-01T00:00:00"}[unit]
    found = find_format(pl.Series([good]), None)
    times = found.to_milliseconds(pl.Series([good, "yesterday", "NaN", "inf", None, ""]))
    assert times.is_null().to_list() == [False, True, True, True, True, True]


def test_nothing_readable_is_no_format():
    assert find_format(pl.Series(["soon", "later"]), None) is None


def test_an_unknown_unit_is_refused():
    with pytest.raises(ConfigError, match="time unit must be one of s, ms, us, ns, iso, got 'sec'"):
        find_format(pl.Series([1]), "sec")
