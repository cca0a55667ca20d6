import datetime as dt

import polars as pl
import pytest

from nextclick.data.readers.timestamps import detect_time_format
from nextclick.errors import ConfigError

TIME_MS = 1_506_826_828_020  # 2017-10-01T03:00:28.020Z


@pytest.mark.parametrize(
    ("raw", "unit", "milliseconds"),
    [
        (["1506826828.02"], "s", TIME_MS),
        ([1506826828.02], "s", TIME_MS),
        ([1506826828], "s", TIME_MS - 20),
        ([TIME_MS], "ms", TIME_MS),
        ([str(TIME_MS)], "ms", TIME_MS),
        ([f"{TIME_MS}.0"], "ms", TIME_MS),
        ([TIME_MS * 1000 + 7], "us", TIME_MS),
        ([TIME_MS * 1_000_000], "ns", TIME_MS),
        (["2017-10-01T03:00:28.020Z"], "iso", TIME_MS),
        (["2017-10-01 03:00:28.020"], "iso", TIME_MS),
        (["2017-10-01 05:00:28.020+02:00"], "iso", TIME_MS),
        (["2017-10-01"], "iso", 1_506_816_000_000),
        (["2017/10/01 03:00:28"], "iso", TIME_MS - 20),
    ],
)
def test_the_unit_is_inferred(raw, unit, milliseconds):
    times = pl.Series(raw)
    time_format = detect_time_format(times, None)
    assert time_format.unit == unit
    assert time_format.to_milliseconds(times).to_list() == [milliseconds]


@pytest.mark.parametrize(
    ("raw", "unit", "milliseconds"),
    [
        (946_684_800_000, "ms", 946_684_800_000),  # 2000-01-01, 12 digits
        (999_999_999_999, "ms", 999_999_999_999),  # 2001-09-09, the last of 12 digits
        (100_000_000_000, "ms", 100_000_000_000),  # 1973-03-03, the first of 12 digits
        (99_999_999_999, "s", 99_999_999_999_000),  # 5138-11-16, the last of 11 digits
        (946_684_800_000_000, "us", 946_684_800_000),
        (946_684_800_000_000_000, "ns", 946_684_800_000),
        (946_684_800, "s", 946_684_800_000),
    ],
)
def test_times_before_2001_have_a_digit_less(raw, unit, milliseconds):
    times = pl.Series([raw])
    time_format = detect_time_format(times, None)
    assert time_format.unit == unit
    assert not time_format.relative
    assert time_format.to_milliseconds(times).to_list() == [milliseconds]


def test_a_datetime_column_is_read_as_is():
    times = pl.Series([dt.datetime(2017, 10, 1, 3, 0, 28, 20_000)])
    assert detect_time_format(times, None).to_milliseconds(times).to_list() == [TIME_MS]


def test_small_numbers_are_seconds_from_the_start_of_the_log():
    time_format = detect_time_format(pl.Series([0, 15, 3000]), None)
    assert time_format.relative
    assert "relative to the start of the log" in time_format.describe()


def test_a_specified_unit_is_not_inferred():
    times = pl.Series([1_506_826_828])
    time_format = detect_time_format(times, "ms")
    assert time_format.to_milliseconds(times).to_list() == [1_506_826_828]
    assert time_format.describe() == "milliseconds (specified)"


@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_an_invalid_time_is_null(unit):
    valid = {"s": "1506826828", "ms": "1506826828020", "iso": "2017-10-01T00:00:00"}[unit]
    time_format = detect_time_format(pl.Series([valid]), None)
    times = time_format.to_milliseconds(pl.Series([valid, "yesterday", "NaN", "inf", None, ""]))
    assert times.is_null().to_list() == [False, True, True, True, True, True]


def test_times_that_cannot_be_parsed_have_no_format():
    assert detect_time_format(pl.Series(["soon", "later"]), None) is None


def test_an_unknown_unit_is_rejected():
    with pytest.raises(ConfigError, match="time unit must be one of s, ms, us, ns, iso, got 'sec'"):
        detect_time_format(pl.Series([1]), "sec")
