"""One connection of HTTP/1.1 that stays open: a request at a time, and as little work as can be.

A general client costs more than many servers do. Processor time of the client for one request of
`/v1/recommend` with an answer of 20 items, on a machine that was busy with other work: httpx 3,700
µs, aiohttp 330 µs, this form 79 µs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.loadtest.address import Address

_END_OF_HEAD = b"\r\n\r\n"
_NO_BODY = (204, 304)


class BadAnswerError(Exception):
    """What came is not HTTP/1.1."""


class Connection(asyncio.Protocol):
    """Sends encoded requests and finds where answers end.

    Args:
        answered: called with the connection, the status and the body of every answer.
        lost: called with the connection and the kind of failure, once, when it has closed.
    """

    def __init__(
        self,
        answered: Callable[[Connection, int, bytes], None],
        lost: Callable[[Connection, str], None],
    ):
        self._answered = answered
        self._lost = lost
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._fault: str | None = None
        self._closes = False  # the server said that this answer is the last one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> None:
        """Send a request; the one before it has been answered."""
        assert self._transport is not None
        self._transport.write(request)

    def abort(self) -> None:
        """Close at once and tell nobody."""
        self._lost = _nobody
        self._answered = _nobody_answered
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and not self._closes

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer = self._buffer + data if self._buffer else data
        try:
            answer = read_answer(self._buffer)
        except BadAnswerError:
            self._fault = "answer is not HTTP"
            assert self._transport is not None
            self._transport.abort()
            return
        if answer is None:
            return
        status, body, self._closes = answer
        self._buffer = b""
        if self._closes:
            assert self._transport is not None
            self._transport.close()
        self._answered(self, status, body)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        kind = "connection reset" if error is not None else "connection closed"
        self._lost(self, self._fault or kind)


def _nobody(connection: Connection, kind: str) -> None:
    del connection, kind


def _nobody_answered(connection: Connection, status: int, body: bytes) -> None:
    del connection, status, body


def read_answer(buffer: bytes) -> tuple[int, bytes, bool] | None:
    r"""Status, body, and whether the server closes; None if more is to come.

    Raises:
        BadAnswerError: it is no answer of HTTP/1.1, or has no length.

    >>> read_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
    (200, b'[]', False)
    """
    end = buffer.find(_END_OF_HEAD)
    if end < 0:
        if not b"HTTP/1.".startswith(buffer[:7]):
            raise BadAnswerError(buffer[:20])
        return None
    if buffer[:7] != b"HTTP/1." or not buffer[9:12].isdigit():
        raise BadAnswerError(buffer[:20])
    status = int(buffer[9:12])
    head = buffer[:end].lower() + b"\r\n"
    start = end + len(_END_OF_HEAD)
    if 100 <= status < 200:
        return read_answer(buffer[start:])
    closes = b"\r\nconnection: close\r\n" in head
    if status in _NO_BODY:
        return status, b"", closes
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        digits = head[at + 17 : head.find(b"\r\n", at + 2)].strip()
        if not digits.isdigit():
            raise BadAnswerError(digits[:20])
        stop = start + int(digits)
        return None if len(buffer) < stop else (status, buffer[start:stop], closes)
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        body = _chunks(buffer, start)
        return None if body is None else (status, body, closes)
    raise BadAnswerError(b"neither a length nor chunks")


def _chunks(buffer: bytes, start: int) -> bytes | None:
    body = b""
    while True:
        line = buffer.find(b"\r\n", start)
        if line < 0:
            return None
        try:
            size = int(buffer[start:line].split(b";")[0], 16)
        except ValueError:
            raise BadAnswerError(buffer[start:line][:20]) from None
        stop = line + 2 + size
        if len(buffer) < stop + 2:
            return None
        if size == 0:
            return body
        body += buffer[line + 2 : stop]
        start = stop + 2


async def connect(
    address: Address,
    answered: Callable[[Connection, int, bytes], None],
    lost: Callable[[Connection, str], None],
    seconds: float,
) -> Connection:
    """Open a connection.

    Raises:
        OSError: it cannot be opened.
        TimeoutError: not in so many seconds.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        _, connection = await loop.create_connection(
            lambda: Connection(answered, lost), address.host, address.port, ssl=address.tls
        )
    return connection
