"""A limit on repeated log lines."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LINES = 5
_SECONDS = 60.0
_MAX_MESSAGES = 1000  # that are remembered


class RepeatLimit(logging.Filter):
    """Passes five lines per minute of each message of level WARNING or above.

    Messages are equal if their format is; arguments may differ. The first line of the next minute
    tells how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._counts: dict[object, tuple[float, int]] = {}  # start of the minute, lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a line."""
        if record.levelno < logging.WARNING:
            return True
        now, message = self._clock(), record.msg
        start, count = self._counts.get(message, (now, 0))
        if now - start >= _SECONDS:
            if count > _MAX_LINES:
                record.msg = f"{message} ({count - _MAX_LINES} similar lines left out)"
            start, count = now, 0
        if message not in self._counts and len(self._counts) >= _MAX_MESSAGES:
            self._counts.clear()
        self._counts[message] = (start, count + 1)
        return count < _MAX_LINES
