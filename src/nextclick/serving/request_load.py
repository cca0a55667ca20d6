"""The load of a server process: which requests start now, later, or not at all."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from nextclick.serving.settings import Settings

_STARTS = 8  # requests started per iteration of the event loop, a few milliseconds of work
# a head of which no byte can be read in two ways; the first group contains the headers
_PLAIN_POST = re.compile(
    rb"POST [!-~]+ HTTP/1\.1\r\n((?:[0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n){1,100})\r\n"
)
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,15})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_NOT_PLAIN = re.compile(
    rb"^(?:transfer-encoding|connection|expect|upgrade):", re.IGNORECASE | re.MULTILINE
)


class RequestLoad:
    """The requests that a process answers, and the limit above which it rejects further ones.

    The event loop reads from connections once per iteration. If all requests that it has read
    started at once, a rejection would wait until all of them have run, so a few are started per
    iteration, and the others wait.

    Args:
        limit: number of requests whose body has arrived.
        on_reject: called for each rejected request.

    Attributes:
        limit: as above.
        on_reject: as above.
        reading: number of requests whose body has not arrived.
    """

    def __init__(self, limit: int, on_reject: Callable[[], None]):
        self.limit = limit
        self.reading = 0
        self.on_reject = on_reject
        self._waiting: deque[Callable[[], None]] = deque()
        self._started = 0  # in this iteration of the event loop

    def is_full(self, n_running: int) -> bool:
        """Whether a request is rejected while others run, those with a missing body included."""
        return n_running + len(self._waiting) - self.reading >= self.limit

    def start(self, loop: asyncio.AbstractEventLoop, start: Callable[[], None]) -> None:
        """Start a request in this iteration of the event loop or in a later one."""
        if self._started == 0:
            loop.call_soon(self._next_iteration, loop)
        if self._started < _STARTS:
            self._started += 1
            start()
        else:
            self._waiting.append(start)

    def _next_iteration(self, loop: asyncio.AbstractEventLoop) -> None:
        self._started = 0
        for _ in range(min(_STARTS, len(self._waiting))):
            self.start(loop, self._waiting.popleft())


def is_plain_post(data: bytes, settings: Settings) -> bool:
    r"""Whether bytes are one whole POST request within the limits, and nothing else.

    Such a request can be rejected without a parser. False in case of doubt.

    >>> from nextclick.serving.settings import Settings
    >>> head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n"
    >>> [is_plain_post(head + body, Settings()) for body in (b"{}", b"{", b"{}POST")]
    [True, False, False]
    """
    head = _PLAIN_POST.match(data)
    if head is None or head.end() > settings.max_header_bytes:
        return False
    lengths = _LENGTH.findall(head[1])
    n_body = len(data) - head.end()
    return (
        len(lengths) == 1
        and int(lengths[0]) == n_body <= settings.max_bytes
        and head[1].lower().count(b"content-length") == 1
        and _NOT_PLAIN.search(head[1]) is None
    )
