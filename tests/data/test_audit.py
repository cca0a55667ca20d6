"""Each warning where there is a reason for it, and none where there is none."""

import polars as pl
import pytest

from nextclick import PrepareOptions, prepare
from nextclick.data.options import FilterOptions, ReadOptions, SplitOptions

START = 1_500_000_000


def rows_of(n_sessions=60, clicks=3):
    """Sessions an hour apart; no two gaps are the same."""
    for s in range(n_sessions):
        at = START + s * 3600
        for n in range(clicks):
            at += 1 + (s * clicks + n) * (n > 0)
            yield (s, f"u{s}", 1 + (s + n) % 5, at)


def warnings(rows, tmp_path, **options):
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.2)
    asked = PrepareOptions(filters=FilterOptions(min_item_support=1), split=split, **options)
    return prepare(frame, tmp_path / "store", options=asked, overwrite=True).report["warnings"]


def test_a_clean_log_has_no_warning(tmp_path):
    assert warnings(list(rows_of()), tmp_path) == []


def moved(rows):
    return [rows[1], rows[0], *rows[2:]]


def other_user(rows):
    return [rows[0], (rows[1][0], "other", *rows[1][2:]), *rows[2:]]


def nobody(rows):
    return [rows[0], (rows[1][0], None, *rows[1][2:]), *rows[2:]]


def robot(rows):
    return rows + [(999, "robot", 1 + n % 5, START + 9_000_000 + n * n) for n in range(1000)]


def doubled(rows):
    return [rows[0], *rows]


def relative(rows):
    return [(s, u, i, t - START) for s, u, i, t in rows]


def ages(rows):
    return [(999, "old", 1, 5), (999, "old", 2, 7), *rows]


def even(rows):
    return [(s, u, i, START + s * 3600 + 15 * n) for n, (s, u, i, _) in enumerate(rows)]


def coarse(rows):
    return [(s, u, i, START + s * 3600) for s, u, i, _ in rows]


def invented(rows):
    last = [(s, u, i, t + 30) for s, u, i, t in rows[2::3]]
    return [
        r for a, b, c in zip(rows[::3], rows[1::3], last, strict=True) for r in (a, b, _30(b, c))
    ]


def _30(before, last):
    return (*last[:3], before[3] + 30)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (moved, "1 clicks stood in the log before an earlier click of their session"),
        (other_user, "1 clicks belong to sessions that began under another user"),
        (robot, "1 sessions have 1,000 clicks or more (the longest 1,000): robots?"),
        (doubled, "1 rows repeat the item and the time of the click before them"),
        (relative, "the times are too small to be dates: they are taken as seconds from"),
        (ages, "the times span 48 years: are some of them in another unit, or invented?"),
        (even, "100% of the gaps between clicks are exactly 15 seconds: a default value or a"),
        (coarse, "100% of the gaps between clicks are 0: the times are too coarse"),
        (
            invented,
            (
                "50% of the gaps between clicks are exactly 30 seconds, 100% of them before the "
                "last click of a session: an invented time, from which a model that sees the "
                "gap to its target would learn where sessions end"
            ),
        ),
    ],
)
def test_what_would_mislead_a_model_is_told(tmp_path, change, warning):
    found = warnings(change(list(rows_of())), tmp_path)
    assert len(found) == 1
    assert found[0].startswith(warning)


def test_a_click_of_nobody_is_no_other_user(tmp_path):
    assert warnings(nobody(list(rows_of())), tmp_path) == []


def test_rows_left_out_are_told(tmp_path):
    rows = [*rows_of(), (1, "u1", None, START)]
    found = warnings(rows, tmp_path, read=ReadOptions(on_bad_row="skip"))
    assert found == ["1 rows could not be read and were left out"]


def test_a_small_test_part_is_told(tmp_path):
    rows = [*rows_of(300), (999, "late", 1, START + 9_000_000), (999, "late", 2, START + 9_000_001)]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    asked = PrepareOptions(filters=FilterOptions(min_item_support=1))
    found = prepare(frame, tmp_path / "store", options=asked).report["warnings"]
    assert [w for w in found if w.startswith("the test part has only 1 sessions, 0.33% of the log")]
