"""Moves the content of files between this process and the Java machine, through local sockets.

A call of the machine returns bytes as text, at a few MB/s.
"""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_COPY_BYTES = 1 << 20


class _Copy(Thread):
    """Copies a stream of Java to another one and closes both, while this process does its part."""

    def __init__(self, java: Any, source: Any, target: Any) -> None:
        super().__init__(daemon=True)
        self._copy = java.org.apache.hadoop.io.IOUtils.copyBytes
        self._streams = source, target
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._copy(*self._streams, _COPY_BYTES, True)
        except Exception as error:  # raised by `finish`, in the thread of the caller
            self._error = error

    def finish(self) -> None:
        """Wait for the end; raise the error of the copy."""
        self.join()
        if self._error is not None:
            raise self._error


def _connected(java: Any) -> tuple[socket.socket, Any]:
    """Two ends of a connection: a socket of this process, and one of the Java machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = java.java.net.Socket("127.0.0.1", server.getsockname()[1])
        while True:
            own, peer = server.accept()
            if peer[1] == end.getLocalPort():  # else another process has connected
                return own, end
            own.close()


class JavaReader:
    """Reads an input stream of Java."""

    def __init__(self, java: Any, stream: Any) -> None:
        self._socket, end = _connected(java)
        self._copy = _Copy(java, stream, end.getOutputStream())

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; none at the end."""
        data = self._socket.recv(size)
        if not data:
            self._copy.finish()
        return data

    def close(self) -> None:
        """End the reading, also before the end of the stream."""
        self._socket.close()


def write_stream(java: Any, stream: Any, blocks: Iterable[bytes]) -> None:
    """Write all blocks to an output stream of Java, and close it."""
    own, end = _connected(java)
    copy = _Copy(java, end.getInputStream(), stream)
    try:
        with own:
            for block in blocks:
                own.sendall(block)
    except OSError:
        copy.finish()  # its error is the reason
        raise
    copy.finish()
