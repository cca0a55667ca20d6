"""Ids of items, sessions and users as they are written in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.columns import MISSING_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROBE = 100  # ids that are cast before all others are


def clean_ids(ids: pl.Series, missing: Sequence[str] = MISSING_WORDS) -> pl.Series:
    """Return ids as Int64 if all are canonical integers, else as text; missing ids are null.

    Ids are stripped. `12.0` is the id `12`, because data frames write integers beside missing
    values with a fraction. `="007"` is the id `007`, because spreadsheets keep zeros so.

    >>> clean_ids(pl.Series(["12.0", " 7", "NA"])).to_list()
    [12, 7, None]
    >>> clean_ids(pl.Series(["007", "A1", ""])).to_list()
    ['007', 'A1', None]
    """
    if ids.dtype.is_float():
        ids = ids.set(~ids.is_finite(), None)
    numbers = whole_numbers(ids)
    if numbers is not None:
        return _without_missing_numbers(numbers, missing)
    text = _without_missing(ids.cast(pl.String).str.strip_chars(), missing)
    numbers = whole_numbers(text)
    if numbers is not None:
        return numbers
    if text.str.starts_with('="').any():
        text = text.str.replace(r'^="(.*)"$', "$1")
    if text.filter(text.str.ends_with("0")).str.contains(".0", literal=True).any():
        text = text.str.replace(r"^(-?\d+)\.0+$", "$1")
        numbers = whole_numbers(text)
    return text if numbers is None else _without_missing_numbers(numbers, missing)


def whole_numbers(ids: pl.Series) -> pl.Series | None:
    """Return the ids as Int64 if each is a canonical integer, else None.

    `007` and `+7` are not canonical: as integers they would be the same id as `7`.
    """
    if ids.dtype.is_integer():
        whole = ids.cast(pl.Int64, strict=False)  # null above 2^63 - 1: such ids are text
        return whole if whole.null_count() == ids.null_count() else None
    if ids.dtype.is_float():  # a column of integers with nulls in pandas
        whole = ids.fill_nan(None).cast(pl.Int64, strict=False)
        return whole if (whole == ids).all() else None
    if ids.dtype != pl.String:
        return None
    first = ids.head(_PROBE).str.strip_chars()
    if first.cast(pl.Int64, strict=False).null_count() > first.null_count():
        return None  # without a pass over all ids
    numbers = ids.cast(pl.Int64, strict=False)
    if numbers.null_count() > ids.null_count():
        ids = ids.str.strip_chars()
        numbers = ids.cast(pl.Int64, strict=False)
    if numbers.null_count() > ids.null_count():
        return None
    return numbers if _are_canonical(ids, numbers) else None


def _are_canonical(ids: pl.Series, numbers: pl.Series) -> bool:
    """Return whether no text that was read as an integer has a plus or a leading zero."""
    if (ids.str.starts_with("0") & (ids.str.len_bytes() > 1)).any():
        return False
    if ids.str.starts_with("+").any():
        return False
    if not (numbers <= 0).any():  # `-0` is 0, and `-07` is negative
        return True
    return not ids.str.starts_with("-0").any()


def _without_missing(text: pl.Series, missing: Sequence[str]) -> pl.Series:
    longest = max(map(len, missing), default=0)
    text = text.set(text.str.len_bytes() == 0, None)
    is_short = text.str.len_chars() <= longest
    if not is_short.any():
        return text
    words = [word.lower() for word in missing]
    return text.set(is_short & text.str.to_lowercase().is_in(words), None)


def _without_missing_numbers(numbers: pl.Series, missing: Sequence[str]) -> pl.Series:
    texts = pl.Series(missing, dtype=pl.String)
    words = texts.cast(pl.Int64, strict=False)
    words = words.filter(words.cast(pl.String) == texts)  # canonical ones
    return numbers if words.is_empty() else numbers.set(numbers.is_in(words.implode()), None)
