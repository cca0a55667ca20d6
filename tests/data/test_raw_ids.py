import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.data.readers.columns import MISSING_WORDS
from nextclick.data.readers.raw_ids import clean_ids, whole_numbers


def clean_one(raw, missing=MISSING_WORDS):
    """Reference for one id as text."""
    text = raw.strip()
    if not text or text.lower() in {word.lower() for word in missing}:
        return None
    whole, point, zeros = text.partition(".")
    is_whole = whole.removeprefix("-").isascii() and whole.removeprefix("-").isdigit()
    return whole if is_whole and point and zeros and not zeros.strip("0") else text


@given(
    st.lists(st.one_of(st.text("naNA/ulo\\\\12.0-( )", max_size=9), st.sampled_from(MISSING_WORDS)))
)
def test_ids_are_cleaned_as_one_by_one(raw):
    cleaned = clean_ids(pl.Series(["x1", *raw], dtype=pl.String)).to_list()
    assert cleaned == ["x1", *map(clean_one, raw)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (["12", "12.0", "null"], [12, 12, None]),
        (["12", " 7 "], [12, 7]),
        ([12.0, float("nan"), float("inf")], [12, None, None]),
        (["007", "7"], ["007", "7"]),
        (["NONE", "undefined", "(NOT SET)", "n/a", "\\N", "A"], [None] * 5 + ["A"]),
        ([True, None], ["true", None]),
        ([], []),
    ],
)
def test_ids_as_logs_write_them(raw, expected):
    assert clean_ids(pl.Series(raw)).to_list() == expected


def test_other_missing_words_replace_the_default():
    ids = pl.Series(["NA", "-", ""])
    assert clean_ids(ids, ("-",)).to_list() == ["NA", None, None]
    assert clean_ids(ids, ()).to_list() == ["NA", "-", None]


@given(
    st.lists(st.one_of(st.text("+-0179 ", max_size=4), st.integers(-99, 99).map(str)), min_size=1)
)
def test_integers_are_canonical_one_by_one(raw):
    numbers = whole_numbers(pl.Series(raw, dtype=pl.String))
    stripped = [text.strip() for text in raw]
    if all(re.fullmatch("0|-?[1-9][0-9]*", text) for text in stripped):
        assert numbers.to_list() == [int(text) for text in stripped]
    else:
        assert numbers is None


@pytest.mark.parametrize("last", ["007", "+7", "-0", "-07", "x", ""])
def test_one_other_id_among_many_makes_all_text(last):
    assert whole_numbers(pl.Series([*map(str, range(1, 500)), last])) is None
    assert whole_numbers(pl.Series([*map(str, range(-9, 500)), None])) is not None


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([0, 7, -1]),
        pl.Series([0.0, 7.0, -1.0]),
        pl.Series(["0", "7", "-1"]),
        pl.Series(["0.0", "7", "-1.00"]),
        pl.Series(["0", "x7", "-1"]),
    ],
)
def test_missing_numbers(ids):
    cleaned = [None if value is None else str(value) for value in clean_ids(ids, ("0", "-1", "-"))]
    assert cleaned in ([None, "7", None], [None, "x7", None])


def test_a_word_that_is_no_canonical_number_matches_text_only():
    assert clean_ids(pl.Series([7, 0]), ("007", "-")).to_list() == [7, 0]
    assert clean_ids(pl.Series([7, 0]), ("007", "0")).to_list() == [7, None]
