"""What unit a log's times are in, and how they become milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from nextclick.errors import ConfigError, nearest

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]
UNITS: tuple[str, ...] = get_args(TimeUnit)

_NAMES = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "iso": "ISO 8601 text",
}
_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
# between 1973 and 5138 a count of seconds has 9 to 11 digits, of milliseconds 12 to 14, …
_LEAST = [("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0)]
_SMALL = 1e8
_YEAR_9999 = 253_402_300_799_999
_ISO_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y/%m/%d",
)


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How one source writes its times.

    Attributes:
        unit: the unit of numbers, or `iso` for text and for columns that are times already.
        pattern: how the text is written, for `iso` text.
        found: True if it was found by looking, False if it was asked for.
        relative: True if the numbers are too small to be dates.
    """

    unit: TimeUnit
    pattern: str | None = None
    found: bool = True
    relative: bool = False

    def describe(self) -> str:
        """Return a sentence part such as `seconds (found)`."""
        how = "found" if self.found else "as asked"
        since = ", counted from the start of the log, not from 1970" if self.relative else ""
        return f"{_NAMES[self.unit]} ({how}{since})"

    def to_milliseconds(self, times: pl.Series) -> pl.Series:
        """Return Int64 milliseconds since the epoch; null where a time cannot be read.

        A time beyond the year 9999 is none: it has another unit than the rest.
        """
        read = self._read(times)
        return read.set(read.abs() > _YEAR_9999, None)

    def _read(self, times: pl.Series) -> pl.Series:
        if times.dtype.is_temporal():
            return times.cast(pl.Datetime("ms")).to_physical()
        if self.unit == "iso":
            text = times.cast(pl.String).str.strip_chars()
            return _parse(text, self.pattern or _ISO_FORMATS[0])
        if self.unit == "s":
            seconds = _numbers(times, pl.Float64)
            finite = seconds.is_finite() & (seconds.abs() < 9e15)
            return (seconds.set(~finite, None) * 1000).round().cast(pl.Int64)
        whole = _numbers(times, pl.Int64)
        if whole.null_count() > times.null_count():  # such as 1506826828020.0
            real = _numbers(times, pl.Float64)
            whole = real.set(~real.is_finite(), None).cast(pl.Int64, strict=False)
        return whole // _PER_MS[self.unit]


def _numbers(times: pl.Series, kind: type[pl.DataType]) -> pl.Series:
    """Cast; blanks around a number are looked for only where they are in the way."""
    numbers = times.cast(kind, strict=False)
    if times.dtype == pl.String and numbers.null_count() > times.null_count():
        return times.str.strip_chars().cast(kind, strict=False)
    return numbers


def find_format(sample: pl.Series, unit: str | None) -> TimeFormat | None:
    """Find out how times are written from the first rows of a log.

    Args:
        sample: raw times: text, numbers, or a column of times.
        unit: what the caller says, or None to find out.

    Returns:
        The format, or None if no value of the sample can be read.

    Raises:
        ConfigError: the unit is not one of s, ms, us, ns, iso.
    """
    if unit is not None and unit not in UNITS:
        raise ConfigError(
            f"time unit must be one of {', '.join(UNITS)}, got {unit!r}: {nearest(unit, UNITS)}"
        )
    known = sample.drop_nulls()
    if known.dtype.is_temporal():
        return TimeFormat("iso")
    numbers = _numbers(known, pl.Float64).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if unit is not None and unit != "iso":
        return TimeFormat(unit, found=False) if len(numbers) else None  # type: ignore[arg-type]
    if unit is None and 2 * len(numbers) > len(known):
        middle = abs(float(numbers.median()))  # type: ignore[arg-type]
        found = next(name for name, least in _LEAST if middle >= least)
        return TimeFormat(found, relative=middle < _SMALL)  # type: ignore[arg-type]
    return _find_pattern(known.cast(pl.String).str.strip_chars(), found=unit is None)


def _find_pattern(text: pl.Series, *, found: bool) -> TimeFormat | None:
    readable = {p: len(text) - _parse(text, p).null_count() for p in _ISO_FORMATS}
    best = max(_ISO_FORMATS, key=readable.__getitem__)
    return TimeFormat("iso", pattern=best, found=found) if readable[best] else None


def _parse(text: pl.Series, pattern: str) -> pl.Series:
    if pattern.endswith("%#z"):
        return text.str.to_datetime(pattern, time_unit="ms", strict=False).to_physical()
    bare = text.str.strip_suffix("Z")
    if "%H" not in pattern:
        return bare.str.to_date(pattern, strict=False).cast(pl.Datetime("ms")).to_physical()
    return bare.str.to_datetime(pattern, time_unit="ms", strict=False).to_physical()
