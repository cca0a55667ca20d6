"""One HTTP/1.1 connection on asyncio streams: sends encoded requests, reads one answer at a time.

A general client costs more processor time per request than the servers measured here; this one
parses the status, the length and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_EMPTY_STATUSES = (204, 304)
_MAX_BODY = 1 << 26


class BadResponseError(Exception):
    """The bytes received are not an HTTP/1.1 response with a length."""


@dataclass(slots=True)
class HttpStream:
    """A connection that is opened on first use and again after it was closed.

    Attributes:
        host: host name or address.
        port: TCP port.
    """

    host: str
    port: int
    _reader: asyncio.StreamReader | None = field(default=None, repr=False)
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    @classmethod
    def to(cls, url: str) -> HttpStream:
        """Make a connection to `http://HOST:PORT`; nothing is sent yet.

        Raises:
            ValueError: the URL has another scheme or no host.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"url must be http://HOST:PORT, got {url!r}")
        return cls(parts.hostname, parts.port or 80)

    @property
    def authority(self) -> str:
        """HOST:PORT, the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send an encoded request and return the status and the body of the response.

        Raises:
            OSError, EOFError, BadResponseError: there is no response; the connection is closed.
        """
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection(
                self.host, self.port, limit=_MAX_BODY
            )
        assert self._reader is not None
        try:
            self._writer.write(request)
            status, body, closes = await _read_response(self._reader)
        except BaseException:
            self.close()
            raise
        if closes:
            self.close()
        return status, body

    def close(self) -> None:
        """Close at once; the next request opens another connection."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


def encode(
    method: str, path: str, authority: str, body: bytes | None = None, token: str | None = None
) -> bytes:
    """Encode a request with a JSON body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\n"
    if token is not None:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + (body or b"")


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Read status, body, and whether the server closes the connection."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.") or not head[9:12].isdigit():
            raise BadResponseError(head[:20])
        if (status := int(head[9:12])) >= 200:
            break
    closes = b"\r\nconnection: close\r\n" in head
    if status in _EMPTY_STATUSES:
        return status, b"", closes
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        return status, await _read_chunks(reader), closes
    _, name, rest = head.partition(b"\r\ncontent-length:")
    if not name:
        raise BadResponseError(b"neither a length nor chunks")
    return status, await reader.readexactly(int(rest.split(b"\r\n", 1)[0])), closes


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
