"""The default start of the test part, for logs with and without a normal last day."""

import time

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare
from nextclick.core.sessions import MS_PER_DAY
from nextclick.data.default_boundary import default_boundary, find_late_sessions
from nextclick.data.options import FilterOptions, SplitOptions
from small_shop import SESSIONS, frame_of

NOW = 1_000 * MS_PER_DAY


def days_of(*counts):
    """The ends of sessions, evenly over days with these numbers of sessions."""
    return np.concatenate(
        [day * MS_PER_DAY + np.arange(n) * MS_PER_DAY // max(n, 1) for day, n in enumerate(counts)]
    ).astype(np.int64)


def chosen(ends, per_session=10):
    return default_boundary(ends, lambda start, stop: per_session * (stop - start), NOW)


def test_a_large_last_day_is_the_test():
    ends = days_of(200, 200, 200, 200)
    boundary = chosen(ends)
    assert (boundary.rule, boundary.boundary_ms) == ("last-day", int(ends[-1]) - MS_PER_DAY)
    assert boundary.n_train == 599  # the boundary is itself the end of a session
    assert "has 201 of 800 sessions (25.12%) and 2,010 prefixes" in boundary.reason


def test_a_nearly_empty_last_day_is_replaced_by_the_last_populated_day():
    boundary = chosen(np.append(days_of(200, 200, 200), 4 * MS_PER_DAY - 1))
    assert (boundary.rule, boundary.boundary_ms) == ("populated-days", 2 * MS_PER_DAY)
    assert boundary.n_train == 400  # the late session is a test session
    assert boundary.reason.startswith("the last day has 1 of 601 sessions (0.17%)")


def test_late_sessions_on_many_days_do_not_make_these_days_typical():
    ends = days_of(2000, 2000, 2000, *[1] * 20)
    assert find_late_sessions(ends, NOW).isolated == 19  # all but those of the next day
    boundary = chosen(ends)
    assert (boundary.rule, boundary.boundary_ms) == ("last-day", 2 * MS_PER_DAY)


def test_several_days_are_the_test_if_one_has_too_few_prefixes():
    boundary = chosen(days_of(*[60] * 20))
    assert (boundary.rule, boundary.boundary_ms) == ("populated-days", 18 * MS_PER_DAY)
    assert "the last 2 days" in boundary.reason


@pytest.mark.parametrize("counts", [[9] * 20, [2000]])
def test_a_small_or_short_log_is_split_by_number(counts):
    boundary = chosen(days_of(*counts), per_session=1)
    assert (boundary.rule, boundary.n_train) == ("last-tenth", round(0.9 * sum(counts)))


def test_sessions_in_the_future_are_not_counted():
    ends = np.concatenate([days_of(*[9] * 20), [NOW + 1, NOW + 2 * MS_PER_DAY]])
    assert find_late_sessions(ends, NOW).future == 2
    assert chosen(ends, per_session=1).n_train == 162


def test_a_log_that_is_in_the_future_as_a_whole_has_no_late_session():
    ends = days_of(200, 200) + 2 * NOW
    assert find_late_sessions(ends, NOW).count == 0


def test_an_isolated_session_does_not_decide():
    ends = np.append(days_of(*[2] * 20), 80 * MS_PER_DAY)
    late = find_late_sessions(ends, NOW)
    assert (late.future, late.isolated) == (0, 1)
    assert chosen(ends, per_session=1).n_train == 36


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_sessions_are_never_all_late(n):
    ends = np.arange(n) * 30 * MS_PER_DAY
    assert find_late_sessions(ends, NOW).count < n
    assert chosen(ends).n_train == n - 1


def test_the_choice_and_its_reason_are_stored(tmp_path):
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    prepared = prepare(frame_of(SESSIONS), tmp_path / "store", options=options)
    boundary = prepared.store.manifest["boundary"]
    assert boundary["kind"] == "last-tenth"
    assert boundary["reason"].endswith("so the test is the last tenth of the sessions")
    assert len(prepared.store.part("test")) == 3
    (warning,) = prepared.report["warnings"]
    assert warning.startswith("the test part has only 4 prefixes, so most differences")


def test_late_sessions_have_a_warning(tmp_path):
    frame = frame_of(SESSIONS)
    late = frame[:3].with_columns(
        session=pl.lit(999, pl.Int64), time=pl.lit(round(time.time()) + 9 * 86_400, pl.Int64)
    )
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    prepared = prepare(frame.vstack(late), tmp_path / "store", options=options)
    assert any(
        w.startswith("1 sessions end later than now, the last at 20")
        for w in prepared.report["warnings"]
    )
    assert len(prepared.store.part("test")) == 4
    alone = prepare(
        late.vstack(late.with_columns(session=pl.lit(1, pl.Int64))), tmp_path / "s", options=options
    )
    assert any(
        w.startswith("all sessions end later than now, the first at")
        for w in alone.report["warnings"]
    )
    years = frame[:3].with_columns(
        session=pl.lit(999, pl.Int64), time=pl.lit(1_600_000_000, pl.Int64)
    )
    prepared = prepare(frame.vstack(years), tmp_path / "t", options=options)
    assert any(
        w.startswith("1 sessions end long after the others, from 20")
        for w in prepared.report["warnings"]
    )


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "auto"),
        ({"days": 1}, "last-days"),
        ({"whole_days": True}, "last-days"),
        ({"fraction": 0.1}, "fraction"),
        ({"fraction": 0.1, "kind": "blocks"}, "blocks"),
        ({"boundary": "2020-01-01", "days": 2}, "boundary"),
        ({"windows": 2, "days": 2}, "windows"),
    ],
)
def test_an_option_of_a_kind_selects_it(options, kind):
    resolved = SplitOptions(**options).resolved()
    assert resolved.kind == kind
    assert resolved.resolved() == resolved
