"""Blocks of time: periods of equal length on the clock of a time zone.

A day on a clock has 23, 24 or 25 hours where clocks are set forward and back, so blocks of a day
begin at the same hour of every day. Blocks never go back: the time after clocks are set back is
part of the latest block that has begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import Int32Array, Int64Array

NO_BLOCKS: dict[str, Any] = dict.fromkeys(("block_ms", "block_origin_ms", "block_timezone"))
"""The fields of `TimeBlocks.to_protocol` for a log without times."""
WHOLE_BLOCK_SHARE = 1 / 24
"""A block is over for a log whose end misses at most this share of it: an hour of a day."""
_MS_PER_HOUR = 3_600_000
_QUARTER_MS = 900_000  # offsets of time zones change at multiples of a quarter of an hour
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """Block b begins b · length_ms after the origin, on the clock of a time zone.

    Attributes:
        origin_ms: start of block 0, milliseconds since the epoch.
        length_ms: length of a block on the clock, in milliseconds.
        timezone: IANA name of the time zone, None for UTC.
    """

    origin_ms: int
    length_ms: int
    timezone: str | None = None

    @classmethod
    def from_first(
        cls, first_ms: int, days: float, *, timezone: str | None = None, hour: float = 0.0
    ) -> Self:
        """Blocks of `days` days; block 0 begins at `hour` of the clock, at `first_ms` or before.

        Raises:
            ConfigError: no such time zone.
        """
        clock, start = _clock_ms(np.array([first_ms]), timezone)[0], round(hour * _MS_PER_HOUR)
        origin = int((clock - start) // MS_PER_DAY * MS_PER_DAY + start)
        return cls(_moment_ms(origin, timezone), round(days * MS_PER_DAY), timezone)

    @classmethod
    def from_protocol(cls, protocol: Mapping[str, Any]) -> Self | None:
        """The blocks in the field `protocol` of a manifest, None if the log has none."""
        origin, length = protocol.get("block_origin_ms"), protocol.get("block_ms")
        if origin is None or length is None:
            return None
        return cls(int(origin), int(length), protocol.get("block_timezone"))

    def to_protocol(self) -> dict[str, Any]:
        """The fields that `from_protocol` reads."""
        return {
            "block_ms": self.length_ms,
            "block_origin_ms": self.origin_ms,
            "block_timezone": self.timezone,
        }

    def of(self, times: Int64Array) -> Int32Array:
        """(n,) int32 blocks of (n,) times in milliseconds; below 0 before the origin."""
        passed = _clock_ms(times, self.timezone) - self._origin()
        blocks: Int32Array = (passed // self.length_ms).astype(np.int32)
        if self.timezone is None:
            return blocks
        while True:  # after clocks are set back, a block may have begun that they do not show
            known, index = np.unique(blocks, return_inverse=True)
            next_starts = np.array([self.start_ms(int(block) + 1) for block in known], np.int64)
            begun = next_starts[index.reshape(-1)] <= times
            if not begun.any():
                return blocks
            blocks += begun

    def block_of(self, time_ms: int) -> int:
        """The block of one time."""
        return int(self.of(np.array([time_ms], np.int64))[0])

    def start_ms(self, block: int) -> int:
        """The start of a block, milliseconds since the epoch."""
        return _moment_ms(self._origin() + block * self.length_ms, self.timezone)

    def is_over(self, block: int, until_ms: int) -> bool:
        """Whether a log that is complete until a time has all of a block, or nearly all."""
        missing = self.start_ms(block + 1) - until_ms
        return missing <= WHOLE_BLOCK_SHARE * self.length_ms

    def _origin(self) -> int:
        return int(_clock_ms(np.array([self.origin_ms]), self.timezone)[0])


def check_timezone(timezone: str | None) -> None:
    """Check that a time zone exists.

    Raises:
        ConfigError: it does not.
    """
    _zone(timezone)


@lru_cache(maxsize=8)
def _zone(timezone: str | None) -> tzinfo:
    if timezone is None:
        return UTC
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(
            f"block_timezone must be the name of an IANA time zone, such as Europe/Berlin, got "
            f"{timezone!r}; where the system has no time zones, install the package tzdata"
        ) from None


def _clock_ms(times: Int64Array, timezone: str | None) -> Int64Array:
    """(n,) readings of the clock of a time zone, as milliseconds since its 1 January 1970."""
    if timezone is None:
        return np.asarray(times, np.int64)
    zone = _zone(timezone)
    quarters, index = np.unique(np.asarray(times) // _QUARTER_MS, return_inverse=True)
    offsets = np.array(
        [_offset_ms(int(quarter) * _QUARTER_MS, zone) for quarter in quarters], np.int64
    )
    clock: Int64Array = times + offsets[index.reshape(-1)]
    return clock


def _offset_ms(time_ms: int, zone: tzinfo) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1000)


def _moment_ms(clock_ms: int, timezone: str | None) -> int:
    """The first moment at which the clock of a time zone shows a time or, if skipped, a later."""
    if timezone is None:
        return clock_ms
    local = (_EPOCH + timedelta(milliseconds=clock_ms)).replace(tzinfo=_zone(timezone))
    return round(local.timestamp() * 1000)
