"""Milliseconds before September 2001 have 12 digits; they are not seconds."""

import pytest

from nextclick import prepare
from nextclick.data.options import FilterOptions, PrepareOptions

DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("first_ms", "date"),
    [
        (662_688_000_000, "1991-01-01"),
        (851_990_400_000, "1996-12-31"),
        (999_993_600_000, "2001-09-09"),  # before the 13th digit
        (1_009_843_200_000, "2002-01-01"),
    ],
)
def test_milliseconds_are_detected(tmp_path, first_ms, date):
    rows = [(s, item, first_ms + s * DAY_MS // 4 + item) for s in range(40) for item in (1, 2, 3)]
    log = "session,item,timestamp\n" + "".join(f"{s},{i},{ms}\n" for s, i, ms in rows)
    (tmp_path / "log.csv").write_text(log)
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    report = prepare(tmp_path / "log.csv", tmp_path / "store", options=options).report
    assert report["times"].startswith("milliseconds")
    assert report["first_time"].startswith(date)
