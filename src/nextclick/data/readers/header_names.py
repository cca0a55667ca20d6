"""Decides whether the first line of a text file names columns or is a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import COMMON_NAMES, normalized_name

if TYPE_CHECKING:
    from collections.abc import Sequence

SKIP = "_"  # name of a column that is not read, in names by position
_FIRST_UNIX_TIME = 10**8  # a number from 1973 on in seconds is taken as a time
_TIME = re.compile(r"\d{4}[-/]\d\d[-/]\d\d|\d\d?[-/.]\d\d?[-/.]\d{4}")
_ROLE_OF_NAME = {
    normalized_name(name): role for role, names in COMMON_NAMES.items() for name in names
}


def roles_of(fields: Sequence[str]) -> set[str]:
    """Return the roles whose common names are among the fields."""
    return {role for name in fields if (role := _ROLE_OF_NAME.get(normalized_name(name)))}


def looks_like_row(fields: Sequence[str]) -> bool:
    """Return whether the first line of a file is a row and not a header.

    It is a row if it has none of the common names, and has a time, or numbers in at least half of
    its fields. The numbers 0, 1, 2, ... are the header of a table whose columns have no names.
    """
    positions = [str(n) for n in range(len(fields))]
    if roles_of(fields) or [field.strip() for field in fields] == positions:
        return False
    n_numbers = sum(_number(field) is not None for field in fields)
    return 2 * n_numbers >= len(fields) > 1 or any(map(_is_time, fields))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def is_value(text: str) -> bool:
    """Return whether a field is a number or a time, which is no name of a column."""
    return _number(text) is not None or _is_time(text)


def _is_time(text: str) -> bool:
    number = _number(text)
    return _TIME.search(text) is not None if number is None else number >= _FIRST_UNIX_TIME


def guessed_names(fields: Sequence[str]) -> list[str]:
    """Return names by position: the time, then session and item in the order of the fields."""
    names = [SKIP] * len(fields)
    # a large id may look like a time, and a time mostly stands behind the ids
    times = [n for n, text in enumerate(fields) if _number(text) is None and _is_time(text)]
    times += [n for n, text in reversed(list(enumerate(fields))) if _is_time(text)]
    if times:
        names[times[0]] = "time"
    others = [n for n in range(len(fields)) if n not in times[:1]]
    for role, position in zip(("session", "item"), others, strict=False):
        names[position] = role
    return names
