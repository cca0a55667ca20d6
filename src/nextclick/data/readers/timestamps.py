"""Detection of the format of the times of a log, and conversion to milliseconds since the epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args

import polars as pl

from nextclick.data.readers.time_patterns import (
    DAY_FIRST,
    MONTH_FIRST,
    candidate_patterns,
    date_order,
    local_to_milliseconds,
    normalize,
    normalize_rare,
    parse,
    swapped,
)
from nextclick.errors import ConfigError, SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TimeUnit = Literal["s", "ms", "us", "ns", "excel", "iso"]
UNITS: tuple[str, ...] = get_args(TimeUnit)

_UNIT_LABELS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "excel": "days of a spreadsheet",
    "iso": "text",
}
_UNITS_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
# between 1973 and 5138 a count of seconds has 9 to 11 digits, of milliseconds 12 to 14, …
_UNIT_MINIMUMS = [("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0)]
_FIRST_DATE = 631_152_000  # 1990 in seconds; smaller numbers are relative to the start of the log
_FIRST_YEAR = 1990
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_MS_PER_DAY = 86_400_000
_EXCEL_EPOCH = 25_569  # the day 1970-01-01 in a spreadsheet
_EXCEL_DAYS = (32_874, 50_000)  # from 1990
_COMPACT_DATE = r"^(19[9]\d|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_DENSER = 5.0  # a reading of dates that spans this many times fewer days is the right one
_THOUSANDS = r"^\d{1,3}(?:,\d{3}){2,}$"  # 1,711,962,600
_DECIMAL_COMMA = r"^(-?\d+),(\d+)$"
_PROBE = 25  # values that a pattern is tried on before it is tried on all


class AmbiguousDateError(SourceError):
    """Dates that can be read with the day first or the month first."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """Format of the times of one source.

    Attributes:
        unit: unit of numbers, or `iso` for text and for datetime columns.
        pattern: pattern of text, None for numbers and for datetime columns.
        timezone: IANA name of the zone of times without one, None for UTC.
        inferred: True if the format is inferred from the values, False if it is specified.
        relative: True if the numbers are too small to be dates.
        last_ms: a later time is invalid; the end of the next year unless the times are relative.
    """

    unit: TimeUnit
    pattern: str | None = None
    timezone: str | None = None
    inferred: bool = True
    relative: bool = False
    last_ms: int = _MAX_MS

    @property
    def ambiguous_pattern(self) -> str | None:
        """The pattern, if a shorter log may not decide its order of day and month, else None."""
        return self.pattern if self.inferred and date_order(self.pattern or "") else None

    def describe(self) -> str:
        """Return the format and its origin, such as `seconds (inferred)`."""
        origin = "inferred" if self.inferred else "specified"
        start = ", relative to the start of the log" if self.relative else ""
        if self.unit == "iso" and self.pattern is None:
            return "a datetime column"
        pattern = "" if self.pattern is None else f" {self.pattern}"
        zone = "" if self.timezone is None else f", zone {self.timezone}"
        return f"{_UNIT_LABELS[self.unit]}{pattern}{zone} ({origin}{start})"

    def expected(self) -> str:
        """Return what a valid time is, for messages."""
        if self.relative:
            return f"a time in {self.describe()}"
        last_year = datetime.fromtimestamp(self.last_ms / 1000, UTC).year
        return f"a time of {_FIRST_YEAR} to {last_year} in {self.describe()}"

    def to_milliseconds(self, times: pl.Series) -> pl.Series:
        """Return Int64 milliseconds since the epoch; null where a time cannot be parsed.

        A time before 1990 or after the next year becomes null, because it is a placeholder or has
        another unit than the other times. Relative times are limited to the year 9999.
        """
        milliseconds = self._in_range(self._parse(times))
        if self.pattern is None or not self.inferred:
            return milliseconds
        is_left = milliseconds.is_null() & times.is_not_null()
        if not is_left.any():
            return milliseconds
        left = times.filter(is_left).cast(pl.String)
        parsed = self._parse_any(normalize(left))
        if (is_rare := parsed.is_null()).any():
            rare = self._parse_any(normalize_rare(left.filter(is_rare)))
            parsed = parsed.scatter(is_rare.arg_true(), rare)
        return milliseconds.scatter(is_left.arg_true(), parsed)

    def _parse(self, times: pl.Series) -> pl.Series:
        if times.dtype.is_temporal():
            if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
                return times.dt.cast_time_unit("ms").to_physical()
            return local_to_milliseconds(times.cast(pl.Datetime("ms")), self.timezone)
        if self.pattern is not None:
            return parse(times.cast(pl.String).str.strip_chars(), self.pattern, self.timezone)
        if self.unit in ("s", "excel"):
            numbers = _cast_numbers(times, pl.Float64)
            numbers = numbers.set(~(numbers.is_finite() & (numbers.abs() < 9e15)), None)
            if self.unit == "excel":
                return ((numbers - _EXCEL_EPOCH) * _MS_PER_DAY).round().cast(pl.Int64)
            return (numbers * 1000).round().cast(pl.Int64)
        integers = _cast_numbers(times, pl.Int64)
        if integers.null_count() > times.null_count():  # such as 1506826828020.0
            floats = _cast_numbers(times, pl.Float64)
            integers = floats.set(~floats.is_finite(), None).cast(pl.Int64, strict=False)
        return integers // _UNITS_PER_MS[self.unit]

    def _parse_any(self, left: pl.Series) -> pl.Series:
        """Parse texts that do not have the pattern by all others of the same order of dates."""
        milliseconds = pl.Series([None] * len(left), dtype=pl.Int64)
        patterns = candidate_patterns(date_order(self.pattern or ""))
        for pattern in _promising(left, patterns, self.timezone):
            missing = milliseconds.is_null()
            if not missing.any():
                break
            parsed = self._in_range(parse(left, pattern, self.timezone))
            milliseconds = milliseconds.zip_with(~missing, parsed)
        return milliseconds

    def _in_range(self, milliseconds: pl.Series) -> pl.Series:
        if self.relative:
            return milliseconds.set(milliseconds.abs() > _MAX_MS, None)
        outside = (milliseconds < _year_start(_FIRST_YEAR)) | (milliseconds > self.last_ms)
        return milliseconds.set(outside, None)


def detect_time_format(
    sample: pl.Series,
    unit: str | None,
    *,
    pattern: str | None = None,
    timezone: str | None = None,
    more: Callable[[], Iterable[pl.Series]] = list,
    now_ms: int | None = None,
) -> TimeFormat | None:
    """Detect the format of times from the first rows of a log.

    Args:
        sample: raw times: text, numbers or datetimes.
        unit: the specified unit, or None to infer it.
        pattern: the specified strptime pattern, or None to infer it.
        timezone: IANA name of the zone of times without one, None for UTC.
        more: returns all times of the log, to decide between two readings of dates.
        now_ms: current time in milliseconds since the epoch, None for the clock.

    Returns:
        The format, or None if no value of the sample can be parsed.

    Raises:
        ConfigError: the unit or the time zone does not exist.
        AmbiguousDateError: the order of day and month cannot be inferred.
    """
    if unit is not None and unit not in UNITS:
        raise ConfigError(
            f"time unit must be one of {', '.join(UNITS)}, got {unit!r}: {nearest(unit, UNITS)}"
        )
    _check_timezone(timezone)
    now = round(time.time() * 1000) if now_ms is None else now_ms
    year = datetime.fromtimestamp(now / 1000, UTC).year
    base = TimeFormat("iso", timezone=timezone, last_ms=_year_start(year + 2) - 1)
    values = sample.drop_nulls()
    if values.dtype.is_temporal():
        return base
    text = values.cast(pl.String).str.strip_chars()
    if pattern is not None:
        specified = replace(base, pattern=pattern, inferred=False)
        return specified if _count_parsed(specified, text) else None
    numbers = _cast_numbers(values, pl.Float64).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if unit is not None and unit != "iso":
        known: TimeUnit = unit  # type: ignore[assignment]
        found = replace(base, unit=known, inferred=False, relative=_is_relative(numbers, unit))
        return found if len(numbers) else None
    if unit is None and 2 * len(numbers) > len(values) and not _are_compact_dates(text):
        return _numeric_format(numbers, base)
    if values.dtype.is_float():
        text = values.cast(pl.Int64, strict=False).drop_nulls().cast(pl.String)
    return _text_format(text, replace(base, inferred=unit is None), more)


def _numeric_format(numbers: pl.Series, base: TimeFormat) -> TimeFormat:
    median = abs(float(numbers.median()))  # type: ignore[arg-type]
    first, last = _EXCEL_DAYS
    has_fraction = bool((numbers != numbers.round()).mean() > 0.5)  # type: ignore[operator]
    if has_fraction and numbers.is_between(first, last).all():
        return replace(base, unit="excel")
    inferred = next(name for name, minimum in _UNIT_MINIMUMS if median >= minimum)
    return replace(base, unit=inferred, relative=median < _FIRST_DATE)  # type: ignore[arg-type]


def _is_relative(numbers: pl.Series, unit: str) -> bool:
    if len(numbers) == 0 or unit == "excel":
        return False
    seconds = abs(float(numbers.median())) * {"s": 1}.get(unit, 1e-3)  # type: ignore[arg-type]
    return seconds / _UNITS_PER_MS.get(unit, 1) < _FIRST_DATE


def _are_compact_dates(text: pl.Series) -> bool:
    """Return whether nearly all values are dates such as 20240401 or 20240401000217.

    A date with hours and minutes, 202404010002, as milliseconds is before 1990.
    """
    if len(text) == 0:
        return False
    is_date = text.str.contains(_COMPACT_DATE + r"(\.0+)?$")
    is_time = text.str.contains(_COMPACT_DATE + r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?$")
    return max(is_date.mean(), is_time.mean()) > 0.95  # type: ignore[type-var,operator,return-value]


def _text_format(
    text: pl.Series, base: TimeFormat, more: Callable[[], Iterable[pl.Series]]
) -> TimeFormat | None:
    """Return the format whose pattern parses most texts; None if none parses a text."""
    for normalized in (normalize(text), normalize_rare(text)):
        found = _best_format(normalized, text, base, more)
        if found is not None:
            return found
    return None


def _best_format(
    normalized: pl.Series,
    text: pl.Series,
    base: TimeFormat,
    more: Callable[[], Iterable[pl.Series]],
) -> TimeFormat | None:
    """Return the format whose pattern parses most normalized texts; None if none parses one."""
    counts: dict[TimeFormat, tuple[int, int]] = {}
    for pattern in _promising(normalized, candidate_patterns(), base.timezone):
        found = replace(base, pattern=pattern)
        specified = replace(found, inferred=False)
        # prefer a pattern that needs no normalization
        counts[found] = (_count_parsed(specified, normalized), _count_parsed(specified, text))
    counts = {found: count for found, count in counts.items() if count[0]}
    if not counts:
        return None
    best = max(counts, key=counts.__getitem__)
    assert best.pattern is not None
    other = replace(best, pattern=swapped(best.pattern))
    if date_order(best.pattern) is None or counts.get(other, (0, 0))[0] < counts[best][0]:
        return best
    return _decide_order((best, other), text, more)


def _decide_order(
    formats: tuple[TimeFormat, TimeFormat],
    sample: pl.Series,
    more: Callable[[], Iterable[pl.Series]],
) -> TimeFormat:
    """Choose the order of day and month by the values of the whole log.

    A value that only one order allows decides. Otherwise the dates of a log are dense, so the order
    with the much shorter span decides.

    Raises:
        AmbiguousDateError: both orders are plausible.
    """
    day_first, month_first = sorted(formats, key=lambda f: date_order(f.pattern or "") or "")
    assert date_order(day_first.pattern or "") == DAY_FIRST
    assert date_order(month_first.pattern or "") == MONTH_FIRST
    spans: dict[TimeFormat, list[int]] = {day_first: [], month_first: []}
    for values in (sample, *more()):
        text = normalize_rare(values.drop_nulls().cast(pl.String))
        parsed = {f: replace(f, inferred=False).to_milliseconds(text) for f in spans}
        n_invalid = {f: times.null_count() for f, times in parsed.items()}
        if n_invalid[day_first] != n_invalid[month_first]:
            return min(spans, key=n_invalid.__getitem__)
        for found, times in parsed.items():
            spans[found] += (times.drop_nulls() // _MS_PER_DAY).unique().to_list()
    n_days = {found: max(days) - min(days) + 1 for found, days in spans.items()}
    shorter = day_first if n_days[day_first] < n_days[month_first] else month_first
    longer = month_first if shorter is day_first else day_first
    if n_days[longer] >= _DENSER * n_days[shorter]:
        return shorter
    if "%p" in (month_first.pattern or ""):
        return month_first
    raise AmbiguousDateError(
        f"the dates, such as {sample[0]!r}, can be read with the day first or the month first; "
        f"choose with --time-format '{day_first.pattern}' or --time-format '{month_first.pattern}'"
    )


def _promising(text: pl.Series, patterns: Iterable[str], timezone: str | None) -> list[str]:
    """Return the patterns that parse one of the first values."""
    probe = text.head(_PROBE)
    return [p for p in patterns if parse(probe, p, timezone).is_not_null().any()]


def _count_parsed(time_format: TimeFormat, text: pl.Series) -> int:
    return len(text) - time_format.to_milliseconds(text).null_count()


def _cast_numbers(times: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    """Cast to numbers; rewrite text only if a value cannot be cast without it.

    Whitespace and the commas of thousands are removed, and a decimal comma becomes a point.
    """
    numbers = times.cast(dtype, strict=False)
    if times.dtype != pl.String or numbers.null_count() == times.null_count():
        return numbers
    text = times.str.strip_chars()
    if text.str.contains(",", literal=True).any():
        is_grouped = text.str.contains(_THOUSANDS)
        digits = text.str.replace_all(",", "", literal=True)
        text = digits.zip_with(is_grouped, text.str.replace(_DECIMAL_COMMA, "$1.$2"))
    return text.cast(dtype, strict=False)


def _year_start(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)


def _check_timezone(timezone: str | None) -> None:
    if timezone is None:
        return
    try:
        local_to_milliseconds(pl.Series([datetime(2024, 1, 1)]), timezone)
    except pl.exceptions.PolarsError:
        raise ConfigError(
            f"timezone must be the name of an IANA time zone, such as Europe/Berlin, "
            f"got {timezone!r}"
        ) from None
