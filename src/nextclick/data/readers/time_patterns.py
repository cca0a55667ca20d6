"""Patterns of dates and times as text, and their parsing.

A pattern is a strptime pattern as in chrono (`%.f` is an optional fraction of a second). A value is
parsed after `normalize`, which writes zones as offsets and drops names of weekdays, so that a few
patterns cover many spellings.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d-%B-%Y", "%d-%B-%y", "%d/%B/%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y"),
)
DAY_FIRST = "day first"
MONTH_FIRST = "month first"
_NUMERIC_DATES = {
    DAY_FIRST: ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y"),
    # a date with periods has the day first
    MONTH_FIRST: ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y"),
}
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S%.f %p", "%I:%M %p")
_JOINS = ("T", " ", ", ", ":")
_COMPACT = (
    *("%Y%m%dT%H%M%S%.f", "%Y%m%d %H%M%S%.f", "%Y%m%d %H:%M:%S%.f", "%Y%m%d %H:%M"),
    *("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d"),
)

_WEEKDAY = r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\.?,?\s+"
_UTC = r"(\d)\s?(?:UTC|GMT|Z|utc|gmt|z)$"
_ZONE_NAME = r"\[[A-Za-z_/+\-0-9]+\]$"  # of Java's ZonedDateTime, after an offset
_OFFSET = r"([\d.M])\s+([+\-]\d\d(?::?\d\d)?)$"
_YEAR_LAST = (
    r"^([A-Za-z]{3,9}) (\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d+)?)"
    r"(?: UTC| GMT)?(?: ([+\-]\d\d:?\d\d))? (\d{4})$"
)
# rewritten only where a text has the part before the pattern, because few logs have one
_RARE_SPELLINGS = (
    ("GMT", r"GMT([+\-]\d\d:?\d\d)(?: \(.*\))?$", "$1"),  # of JavaScript
    (" +", r"([+\-]\d\d:?\d\d) [A-Z]{3,5}$", "$1"),  # of Go: +0200 CEST
    (" -", r"([+\-]\d\d:?\d\d) [A-Z]{3,5}$", "$1"),
    (".m.", r"([ap])\.m\.$", "${1}m"),
    (" Uhr", r" Uhr$", ""),
    # of Oracle: 01-APR-24 09.10.00.000000 AM
    ("M", r" (\d\d)\.(\d\d)\.(\d\d)(\.\d+)?( [AP]M)$", " $1:$2:$3$4$5"),
    # of Db2: 2024-04-01-09.10.00.000000
    (".", r"^(\d{4}-\d\d-\d\d)-(\d\d)\.(\d\d)\.(\d\d)", "$1 $2:$3:$4"),
)
# the names that RFC 2822 defines, and those of central Europe
_ZONES = {
    "EST": "-05:00",
    "EDT": "-04:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
    "CET": "+01:00",
    "CEST": "+02:00",
}


def _patterns(dates: Iterable[str]) -> tuple[str, ...]:
    clocks = tuple(f"{d}{j}{c}" for d, j, c in product(dates, _JOINS, _CLOCKS))
    return (*clocks, *(f"{clock}%#z" for clock in clocks if not clock.endswith("%p")), *dates)


_UNAMBIGUOUS = (*_patterns(_DATES), *_COMPACT, *(f"{p}%#z" for p in _COMPACT[:2]))
_BY_ORDER = {order: _patterns(dates) for order, dates in _NUMERIC_DATES.items()}


def candidate_patterns(date_order: str | None = None) -> tuple[str, ...]:
    """Return all known patterns, without those of the other order of day and month."""
    orders = tuple(_BY_ORDER) if date_order is None else (date_order,)
    return (*_UNAMBIGUOUS, *(pattern for order in orders for pattern in _BY_ORDER[order]))


def date_order(pattern: str) -> str | None:
    """Return whether a pattern of a numeric date has the day or the month first, else None."""
    return next((order for order, patterns in _BY_ORDER.items() if pattern in patterns), None)


def swapped(pattern: str) -> str:
    """Return the pattern with day and month exchanged."""
    return pattern.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def normalize(text: pl.Series) -> pl.Series:
    """Return the texts with zones as offsets, points before fractions and no weekday."""
    return (
        text.str.strip_chars()
        .str.replace(_WEEKDAY, "")
        .str.replace(_ZONE_NAME, "")
        .str.replace(_UTC, "$1+00:00")
        .str.replace(r"(:\d\d),(\d+)", "$1.$2")
        .str.replace_all(r"\s+", " ")
        .str.replace(_OFFSET, "$1$2")
        .str.replace(_YEAR_LAST, "$1 $2, $5 $3$4")
    )


def normalize_rare(text: pl.Series) -> pl.Series:
    """Return the texts as `normalize` does, after rewriting what few programs write.

    It is slower, so it is for texts that no pattern parses without it.
    """
    text = text.str.strip_chars()
    for part, pattern, replacement in _RARE_SPELLINGS:
        if text.str.contains(part, literal=True).any():
            text = text.str.replace(pattern, replacement)
    if text.str.ends_with("T").any():
        for zone, offset in _ZONES.items():
            text = text.str.replace(rf"(\d) ?{zone}$", f"${{1}}{offset}")
    return normalize(text)


def parse(text: pl.Series, pattern: str, timezone: str | None) -> pl.Series:
    """Parse texts by one pattern.

    Args:
        text: (n,) texts; other texts than those of the pattern become null.
        pattern: strptime pattern. Without `%z` the texts are local times of `timezone`.
        timezone: name of an IANA time zone, None for UTC.

    Returns:
        (n,) Int64 milliseconds since the epoch.
    """
    if pattern.endswith("z"):
        return text.str.to_datetime(pattern, time_unit="ms", strict=False).to_physical()
    if not any(part in pattern for part in ("%H", "%I", "%T", "%R", "%s", "%X", "%c")):
        dates = text.str.to_date(pattern, strict=False)
        return local_to_milliseconds(dates.cast(pl.Datetime("ms")), timezone)
    times = text.str.to_datetime(pattern, time_unit="ms", strict=False)
    return local_to_milliseconds(times, timezone)


def local_to_milliseconds(times: pl.Series, timezone: str | None) -> pl.Series:
    """Return milliseconds since the epoch of local times without a zone.

    A local time that occurs twice, when clocks are set back, is the first of the two. A local time
    that does not occur, when clocks are set forward, is read with the offset before the change, as
    Python's zoneinfo does.
    """
    if timezone is None or timezone == "UTC":
        return times.cast(pl.Datetime("ms")).to_physical()

    def localized(values: pl.Series) -> pl.Series:
        return values.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")

    known = localized(times)
    if known.null_count() > times.null_count():
        # one hour later exists, and has the same instant under the offset after the change
        known = known.zip_with(known.is_not_null(), localized(times.dt.offset_by("1h")))
    return known.cast(pl.Datetime("ms", timezone)).to_physical()
