import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from nextclick.data.readers.timestamps import detect_time_format
from nextclick.errors import ConfigError, SourceError

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
        (631_152_000_000, "ms", 631_152_000_000),  # 1990-01-01
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


@pytest.mark.parametrize(
    "raw",
    [
        "Mon Apr 01 2024 11:10:00 GMT+0200 (Central European Summer Time)",
        "2024-04-01 11:10:00 +0200 CEST",
        "2024-04-01 05:10:00 EDT",
        "2024-04-01 11:10:00 CEST",
        "01.04.2024, 09:10 Uhr",
        "01-APR-24 09.10.00.000000 AM",
        "Monday, 01-Apr-24 09:10:00 GMT",
        "2024-04-01-09.10.00.000000",
        "Apr 01 2024 09:10",
        "20240401 09:10",
        "202404010910",
        "1711962600,00",
        "1,711,962,600",
        "1711962600000,0",
    ],
)
def test_times_of_programs_and_spreadsheets_are_read(raw):
    times = pl.Series([raw] * 3)
    time_format = detect_time_format(times, None)
    assert time_format.to_milliseconds(times).to_list() == [1_711_962_600_000] * 3


def test_days_of_a_spreadsheet_may_have_a_decimal_comma():
    times = pl.Series(["45383,5", "45383,25"])
    noon = 1_711_972_800_000
    expected = [noon, noon - 21_600_000]
    assert detect_time_format(times, None).to_milliseconds(times).to_list() == expected


def test_a_spanish_afternoon_is_read():
    times = pl.Series(["25/04/2024 09:10:00 a.m.", "25/04/2024 09:10:00 p.m."])
    morning, evening = detect_time_format(times, None).to_milliseconds(times)
    assert evening - morning == 12 * 3_600_000


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
    assert time_format.relative
    assert detect_time_format(pl.Series([TIME_MS]), "ms").describe() == "milliseconds (specified)"


@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_an_invalid_time_is_null(unit):
    valid = {"s": "1506826828", "ms": "1506826828020", "iso": "2017-10-01T00:00:00"}[unit]
    time_format = detect_time_format(pl.Series([valid]), None)
    times = time_format.to_milliseconds(pl.Series([valid, "yesterday", "NaN", "inf", None, ""]))
    assert times.is_null().to_list() == [False, True, True, True, True, True]


def test_times_that_cannot_be_parsed_have_no_format():
    assert detect_time_format(pl.Series(["soon", "later"]), None) is None


def test_an_unknown_unit_is_rejected():
    with pytest.raises(ConfigError, match="time unit must be one of s, ms, us, ns, excel, iso"):
        detect_time_format(pl.Series([1]), "sec")


NOW_MS = 1_735_689_600_000  # 2025-01-01
MOMENT = dt.datetime(2024, 4, 23, 15, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "pattern",
    [
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%d %H:%M:%S GMT",
        "%Y-%m-%dT%H:%M:%S.250000Z",
        "%Y-%m-%d %H:%M:%S,250",
        "%Y-%m-%d %H:%M:%S%z",
        "%Y-%m-%d %H:%M:%S %z",
        "%Y-%m-%dT%H:%M:%S+00",
        "%Y-%m-%dT%H:%M:%S+00:00[Europe/London]",
        "%Y%m%dT%H%M%SZ",
        "%Y%m%dT%H%M%S",
        "%Y%m%d%H%M%S",
        "%Y-%m-%d %I:%M:%S %p",
        "%Y-%m-%d %H:%M",
        "%Y/%m/%d %H:%M:%S",
        "%Y%m%d",
        "%Y-%m-%d",
        "%a %b %d %H:%M:%S %Y",
        "%a %b %d %H:%M:%S %z %Y",
        "%a %b %d %H:%M:%S UTC %Y",
        "%a, %d %b %Y %H:%M:%S %z",
        "%A, %d %B %Y %H:%M:%S",
        "%d/%b/%Y:%H:%M:%S %z",
        "%d-%b-%Y %H:%M:%S",
        "%b %d, %Y, %I:%M:%S %p",
        "%B %d, %Y %H:%M",
        "%d.%m.%Y %H:%M:%S",
        "%d.%m.%Y, %H:%M",
        "%d.%m.%y %H:%M",
        "%d/%m/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y %I:%M:%S %p",
        "%m-%d-%Y %H:%M",
        "%m/%d/%Y",
    ],
)
def test_a_format_of_text_is_detected(pattern):
    moments = [MOMENT + dt.timedelta(hours=7 * n) for n in range(30)]
    raw = [moment.strftime(pattern) for moment in moments]
    parsed = [dt.datetime.strptime(text, pattern) for text in raw]
    fraction = 250 if "250" in pattern else 0  # milliseconds, a constant text for strptime
    expected = [
        round((t if t.tzinfo else t.replace(tzinfo=dt.UTC)).timestamp() * 1000) + fraction
        for t in parsed
    ]
    times = pl.Series([f" {text}" for text in raw])
    time_format = detect_time_format(times, None, now_ms=NOW_MS)
    assert time_format.to_milliseconds(times).to_list() == expected


def test_compact_dates_as_numbers_are_dates():
    times = pl.Series([20240401, 20240402])
    time_format = detect_time_format(times, None, now_ms=NOW_MS)
    assert time_format.to_milliseconds(times).to_list() == [1_711_929_600_000, 1_712_016_000_000]


def test_days_of_a_spreadsheet_are_dates():
    times = pl.Series(["45383.001586", "45383.5"])
    time_format = detect_time_format(times, None, now_ms=NOW_MS)
    assert time_format.describe() == "days of a spreadsheet (inferred)"
    assert time_format.to_milliseconds(times).to_list() == [1_711_929_737_030, 1_711_972_800_000]


def test_a_late_value_decides_the_order_of_day_and_month():
    sample = pl.Series(["03/04/2024 10:00", "05/06/2024 10:00"])
    for late, expected in (
        ("13/04/2024 10:00", 1_712_138_400_000),  # 3 April
        ("04/13/2024 10:00", 1_709_546_400_000),  # 4 March
    ):
        found = detect_time_format(
            sample, None, more=lambda late=late: [sample, pl.Series([late])], now_ms=NOW_MS
        )
        assert found.to_milliseconds(sample)[0] == expected


def test_the_denser_reading_decides_the_order_of_day_and_month():
    sample = pl.Series([f"04/{day:02}/2024 10:00" for day in range(1, 13)])
    found = detect_time_format(sample, None, now_ms=NOW_MS)
    assert found.pattern.startswith("%m/%d")


def test_an_undecided_order_of_day_and_month_is_rejected():
    sample = pl.Series(["04/05/2024 10:00", "04/05/2024 11:00"])
    with pytest.raises(SourceError, match="can be read with the day first or the month first; cho"):
        detect_time_format(sample, None, now_ms=NOW_MS)
    found = detect_time_format(sample, None, pattern="%d/%m/%Y %H:%M", now_ms=NOW_MS)
    assert found.to_milliseconds(sample)[0] == 1_714_816_800_000


@pytest.mark.parametrize("raw", ["-1", "0", "1711929737", "4102444800000", "599616000000"])
def test_a_placeholder_or_another_unit_is_invalid(raw):
    times = pl.Series(["1711929737000"] * 9 + [raw])
    found = detect_time_format(times, None, now_ms=NOW_MS)
    assert found.to_milliseconds(times).is_null().to_list() == [False] * 9 + [True]
    assert found.expected() == "a time of 1990 to 2026 in milliseconds (inferred)"


@pytest.mark.parametrize("raw", ["0001-01-01", "9999-12-31", "1970-01-01", "2027-01-01"])
def test_a_date_that_is_a_placeholder_is_invalid(raw):
    times = pl.Series(["2024-04-01", raw])
    found = detect_time_format(times, None, now_ms=NOW_MS)
    assert found.to_milliseconds(times).is_null().to_list() == [False, True]


def test_rows_of_another_spelling_are_parsed():
    times = pl.Series(
        ["2024-04-01T00:00:00"] * 5 + ["2024-04-01 01:00:00.5", "2024-04-01T02:00:00+02:00", "x"]
    )
    found = detect_time_format(times, None, now_ms=NOW_MS)
    start = 1_711_929_600_000
    assert found.to_milliseconds(times).to_list()[4:] == [start, start + 3_600_500, start, None]


def test_local_times_follow_the_time_zone():
    zone = ZoneInfo("Europe/Berlin")
    local = [dt.datetime(2024, 3, 31, 0, 30) + dt.timedelta(minutes=30 * n) for n in range(10)]
    local += [dt.datetime(2024, 10, 27, 0, 30) + dt.timedelta(minutes=30 * n) for n in range(10)]
    expected = [round(t.replace(tzinfo=zone).timestamp() * 1000) for t in local]
    text = pl.Series([t.strftime("%Y-%m-%d %H:%M") for t in local])
    found = detect_time_format(text, None, timezone="Europe/Berlin", now_ms=NOW_MS)
    assert found.to_milliseconds(text).to_list() == expected
    column = pl.Series(local)
    found = detect_time_format(column, None, timezone="Europe/Berlin", now_ms=NOW_MS)
    assert found.to_milliseconds(column).to_list() == expected


def test_a_column_with_a_zone_keeps_it():
    column = pl.Series([MOMENT]).dt.convert_time_zone("America/New_York")
    found = detect_time_format(column, None, timezone="Europe/Berlin", now_ms=NOW_MS)
    assert found.to_milliseconds(column).to_list() == [round(MOMENT.timestamp() * 1000)]


def test_an_unknown_time_zone_is_rejected():
    with pytest.raises(ConfigError, match="timezone must be the name of an IANA time zone"):
        detect_time_format(pl.Series([1]), None, timezone="Berlin")
