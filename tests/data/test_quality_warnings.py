"""Each warning for a log with its cause, and no warning for a clean log."""

import polars as pl
import pytest

from nextclick import PrepareOptions, prepare
from nextclick.data.options import FilterOptions, ReadOptions, SplitOptions

START = 1_500_000_000


def rows_of(n_sessions=60, clicks=3):
    """Sessions one hour apart, with distinct gaps."""
    for s in range(n_sessions):
        time = START + s * 3600
        for n in range(clicks):
            time += 1 + (s * clicks + n) * (n > 0)
            yield (s, f"u{s}", 1 + (s + n) % 5, time)


def warnings(rows, tmp_path, **options):
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.2)
    chosen = PrepareOptions(filters=FilterOptions(min_item_support=1), split=split, **options)
    printed = prepare(frame, tmp_path / "store", options=chosen, overwrite=True).report["warnings"]
    return [warning for warning in printed if "prefixes, so most differences" not in warning]


def test_a_clean_log_has_no_warning(tmp_path):
    assert warnings(list(rows_of()), tmp_path) == []


def swap_rows(rows):
    return [rows[1], rows[0], *rows[2:]]


def second_user(rows):
    return [rows[0], (rows[1][0], "other", *rows[1][2:]), *rows[2:]]


def anonymous_click(rows):
    return [rows[0], (rows[1][0], None, *rows[1][2:]), *rows[2:]]


def long_session(rows):
    return rows + [(999, "robot", 1 + n % 5, START + 216_000 + n * n // 20) for n in range(1000)]


def duplicate_row(rows):
    return [rows[0], *rows]


def relative_times(rows):
    return [(s, u, i, t - START) for s, u, i, t in rows]


def long_span(rows):
    return [(999, "old", 1, 631_152_005), (999, "old", 2, 631_152_007), *rows]  # 1990


def constant_gaps(rows):
    return [(s, u, i, START + s * 3600 + 15 * n) for n, (s, u, i, _) in enumerate(rows)]


def coarse_times(rows):
    return [(s, u, i, START + s * 3600) for s, u, i, _ in rows]


def invented_last_times(rows):
    last = [(s, u, i, t + 30) for s, u, i, t in rows[2::3]]
    return [
        r
        for a, b, c in zip(rows[::3], rows[1::3], last, strict=True)
        for r in (a, b, thirty_seconds_after(b, c))
    ]


def thirty_seconds_after(previous, last):
    return (*last[:3], previous[3] + 30)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (swap_rows, "1 clicks are earlier than the previous click of their session in the log"),
        (second_user, "1 clicks have another user than the first click of their session"),
        (
            long_session,
            "1 sessions have 1,000 clicks or more (the longest 1,000), possibly of robots",
        ),
        (
            duplicate_row,
            "1 rows repeat the item and the time of the previous click of their session",
        ),
        (relative_times, "the times are too small to be dates, so they are read as seconds from"),
        (long_span, "the times span 28 years, so some may be invalid or in another unit"),
        (
            constant_gaps,
            "100% of the gaps between clicks are exactly 15 seconds, possibly a default",
        ),
        (coarse_times, "100% of the gaps between clicks are 0: the times are too coarse"),
        (
            invented_last_times,
            (
                "50% of the gaps between clicks are exactly 30 seconds, 100% of them before the "
                "last click of a session: an invented time, which reveals the end of a session "
                "to a model that reads the gap to the target"
            ),
        ),
    ],
)
def test_a_property_that_misleads_models_has_a_warning(tmp_path, change, warning):
    (printed,) = warnings(change(list(rows_of())), tmp_path)
    assert printed.startswith(warning)


def test_an_anonymous_click_is_not_another_user(tmp_path):
    assert warnings(anonymous_click(list(rows_of())), tmp_path) == []


def test_dropped_rows_have_a_warning(tmp_path):
    rows = [*rows_of(), (1, "u1", None, START)]
    printed = warnings(rows, tmp_path, read=ReadOptions(on_bad_row="skip"))
    assert printed == ["1 rows could not be parsed and were dropped"]


def test_a_small_test_part_has_a_warning(tmp_path):
    rows = [*rows_of(300), (999, "late", 1, START + 9_000_000), (999, "late", 2, START + 9_000_001)]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="last-days")
    )
    printed = prepare(frame, tmp_path / "store", options=options).report["warnings"]
    expected = "the test part has only 1 sessions, 0.33% of the log"
    assert [warning for warning in printed if warning.startswith(expected)]
