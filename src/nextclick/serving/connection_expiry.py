"""Time limits of connections, with one timer for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")


class ExpiryQueue(Generic[T]):
    """Connections that are closed after a time, oldest first.

    All have the same time limit, so the order of insertion is the order of expiry, and one timer,
    for the oldest, replaces a timer for each.

    Args:
        seconds: the time limit.
        on_expiry: called with a connection whose time is over.
    """

    def __init__(self, seconds: float, on_expiry: Callable[[T], None]):
        self._seconds = seconds
        self._on_expiry = on_expiry
        self._deadlines: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, connection: T) -> bool:
        return connection in self._deadlines

    def add(self, connection: T, loop: asyncio.AbstractEventLoop) -> None:
        """Start the time of a connection, or start it again."""
        self.discard(connection)
        self._deadlines[connection] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire, loop)

    def discard(self, connection: T) -> None:
        """End the time of a connection."""
        self._deadlines.pop(connection, None)

    def expire_oldest(self) -> bool:
        """Expire the oldest connection before its time; returns whether there was one."""
        for connection in self._deadlines:
            self.discard(connection)
            self._on_expiry(connection)
            return True
        return False

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._deadlines:
            left = next(iter(self._deadlines.values())) - loop.time()
            if left > 0.0:
                self._timer = loop.call_later(left, self._expire, loop)
                return
            self.expire_oldest()
