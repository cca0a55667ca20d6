"""Detection of the unit of the times of a log, and conversion to milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from nextclick.errors import ConfigError, nearest

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]
UNITS: tuple[str, ...] = get_args(TimeUnit)

_UNIT_LABELS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "iso": "ISO 8601 text",
}
_UNITS_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
# between 1973 and 5138 a count of seconds has 9 to 11 digits, of milliseconds 12 to 14, …
_UNIT_MINIMUMS = [("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0)]
_FIRST_DATE = 1e8  # seconds; smaller numbers are relative to the start of the log
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
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
    """Format of the times of one source.

    Attributes:
        unit: unit of numbers, or `iso` for text and for datetime columns.
        pattern: pattern of `iso` text.
        inferred: True if the unit is inferred from the values, False if it is specified.
        relative: True if the numbers are too small to be dates.
    """

    unit: TimeUnit
    pattern: str | None = None
    inferred: bool = True
    relative: bool = False

    def describe(self) -> str:
        """Return the unit and its origin, such as `seconds (inferred)`."""
        origin = "inferred" if self.inferred else "specified"
        start = ", relative to the start of the log" if self.relative else ""
        return f"{_UNIT_LABELS[self.unit]} ({origin}{start})"

    def to_milliseconds(self, times: pl.Series) -> pl.Series:
        """Return Int64 milliseconds since the epoch; null where a time cannot be parsed.

        A time after the year 9999 becomes null, because its unit is not that of the other times.
        """
        milliseconds = self._parse(times)
        return milliseconds.set(milliseconds.abs() > _MAX_MS, None)

    def _parse(self, times: pl.Series) -> pl.Series:
        if times.dtype.is_temporal():
            return times.cast(pl.Datetime("ms")).to_physical()
        if self.unit == "iso":
            text = times.cast(pl.String).str.strip_chars()
            return _parse_iso(text, self.pattern or _ISO_FORMATS[0])
        if self.unit == "s":
            seconds = _cast_numbers(times, pl.Float64)
            in_range = seconds.is_finite() & (seconds.abs() < 9e15)
            return (seconds.set(~in_range, None) * 1000).round().cast(pl.Int64)
        integers = _cast_numbers(times, pl.Int64)
        if integers.null_count() > times.null_count():  # such as 1506826828020.0
            floats = _cast_numbers(times, pl.Float64)
            integers = floats.set(~floats.is_finite(), None).cast(pl.Int64, strict=False)
        return integers // _UNITS_PER_MS[self.unit]


def _cast_numbers(times: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    """Cast to numbers; strip whitespace only if a value cannot be cast without it."""
    numbers = times.cast(dtype, strict=False)
    if times.dtype == pl.String and numbers.null_count() > times.null_count():
        return times.str.strip_chars().cast(dtype, strict=False)
    return numbers


def detect_time_format(sample: pl.Series, unit: str | None) -> TimeFormat | None:
    """Detect the format of times from the first rows of a log.

    Args:
        sample: raw times: text, numbers or datetimes.
        unit: the specified unit, or None to infer it.

    Returns:
        The format, or None if no value of the sample can be parsed.

    Raises:
        ConfigError: the unit is not one of s, ms, us, ns, iso.
    """
    if unit is not None and unit not in UNITS:
        raise ConfigError(
            f"time unit must be one of {', '.join(UNITS)}, got {unit!r}: {nearest(unit, UNITS)}"
        )
    values = sample.drop_nulls()
    if values.dtype.is_temporal():
        return TimeFormat("iso")
    numbers = _cast_numbers(values, pl.Float64).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if unit is not None and unit != "iso":
        return TimeFormat(unit, inferred=False) if len(numbers) else None  # type: ignore[arg-type]
    if unit is None and 2 * len(numbers) > len(values):
        median = abs(float(numbers.median()))  # type: ignore[arg-type]
        inferred = next(name for name, minimum in _UNIT_MINIMUMS if median >= minimum)
        return TimeFormat(inferred, relative=median < _FIRST_DATE)  # type: ignore[arg-type]
    return _detect_iso_pattern(values.cast(pl.String).str.strip_chars(), inferred=unit is None)


def _detect_iso_pattern(text: pl.Series, *, inferred: bool) -> TimeFormat | None:
    """Return the pattern that parses most values, None if none parses a value."""
    n_parsed = {p: len(text) - _parse_iso(text, p).null_count() for p in _ISO_FORMATS}
    best = max(_ISO_FORMATS, key=n_parsed.__getitem__)
    return TimeFormat("iso", pattern=best, inferred=inferred) if n_parsed[best] else None


def _parse_iso(text: pl.Series, pattern: str) -> pl.Series:
    if pattern.endswith("%#z"):
        return text.str.to_datetime(pattern, time_unit="ms", strict=False).to_physical()
    without_zone = text.str.strip_suffix("Z")
    if "%H" not in pattern:
        dates = without_zone.str.to_date(pattern, strict=False)
        return dates.cast(pl.Datetime("ms")).to_physical()
    return without_zone.str.to_datetime(pattern, time_unit="ms", strict=False).to_physical()
