"""An event loop that wakes within microseconds of the time that it was asked for.

The loop of the standard library rounds a wait up to whole milliseconds where it waits with epoll:
a request would be sent, on average, half a millisecond after it was due, and that would be counted
as the server's.
"""

from __future__ import annotations

import asyncio
import select
import selectors


def exact_loop() -> asyncio.AbstractEventLoop:
    """Make a loop; kqueue, where epoll is not, is exact by itself."""
    if hasattr(selectors, "EpollSelector"):
        return asyncio.SelectorEventLoop(_ExactSelector())
    return asyncio.SelectorEventLoop()


if hasattr(selectors, "EpollSelector"):

    class _ExactSelector(selectors.EpollSelector):
        """Waits for the epoll descriptor itself, with a wait that counts microseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], (), (), timeout)
                timeout = 0
            return super().select(timeout)
