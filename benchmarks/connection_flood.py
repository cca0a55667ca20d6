"""Thousands of connections to one server: how long refused and answered requests take.

`serve_drills.py` imports it. The machine that sends may be as busy as the server, so two times are
measured. `written` ends when the kernel receives the first byte of the response; on one machine it
starts when the request is in the socket of the server, so it is the time of the server, waiting
included. `read` ends when this process has read the response.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import resource
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import RawId

SECONDS = 8.0
RETRY = 1.0  # seconds, as Retry-After says
_SO_TIMESTAMPNS = 35  # Linux; a control message with the time at which the kernel received a packet
_TIMESPEC = struct.Struct("qq")


@dataclass
class _Latencies:
    """Milliseconds by status."""

    written: dict[str, list[float]] = field(default_factory=dict)
    read: dict[str, list[float]] = field(default_factory=dict)

    def add(self, status: str, sent: int, received: int) -> None:
        """Add a response from its times in ns."""
        self.written.setdefault(status, []).append((received - sent) / 1e6)
        self.read.setdefault(status, []).append((time.time_ns() - sent) / 1e6)

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Quantiles by status."""
        return {
            status: {
                "n": len(self.read[status]),
                **_quantiles("written", self.written[status]),
                **_quantiles("read", self.read[status]),
            }
            for status in sorted(self.read)
        }


def many_connections(
    url: str, items: Sequence[RawId], n: int, pid: int, *, pause: float = 0.0
) -> dict[str, Any]:
    """Latencies of n connections; each sends its next request when it has the answer.

    A connection that the server closes is opened again for its next request.

    Args:
        url: the server.
        items: raw ids of the clicks.
        n: number of connections. After a 503 a connection waits a second, as the response demands.
        pid: the process of the server, whose processor time is measured.
        pause: seconds between an answer and the next request of a connection.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    request = _request(items)
    poll = select.epoll()
    sockets = _connect(url, n, poll)
    sent: dict[int, int] = {}  # connection to the time of its request, ns
    due = [(0.0, number) for number in sockets]  # time of the next request, connection
    found, closed = _Latencies(), 0
    known: set[int] = set()  # connections that have had an answer
    partial: dict[int, tuple[bytes, int]] = {}  # of an answer; time of its first byte, ns
    cpu, until = processor_seconds(pid), time.monotonic() + SECONDS
    while time.monotonic() < until:
        while due and due[0][0] < time.monotonic():
            number = heapq.heappop(due)[1]
            sent[number] = time.time_ns()
            sockets[number].send(request)
        for number, _ in poll.poll(0.01):
            answer, control, _, _ = sockets[number].recvmsg(1 << 16, 64)
            if not answer:  # a rejected connection is opened again
                poll.unregister(number)
                sockets.pop(number).close()
                closed += 1
                opened = _connect(url, 1, poll)
                sockets |= opened
                due = [entry for entry in due if entry[1] != number]
                known -= {number, *opened}
                heapq.heapify(due)
                heapq.heappush(due, (time.monotonic() + RETRY, next(iter(opened))))
                continue
            before, received = partial.pop(number, (b"", 0))
            received = received or _received(control)
            if _is_whole(before + answer):
                status = (before + answer)[9:12].decode()
                name = status if number in known else f"{status}, new connection"
                found.add(name, sent[number], received)
                known.add(number)
                wait = RETRY if status == "503" else pause
                heapq.heappush(due, (time.monotonic() + wait, number))
            else:
                partial[number] = (before + answer, received)
    cpu = processor_seconds(pid) - cpu
    for connection in sockets.values():
        connection.close()
    quantiles = found.quantiles()
    answered = sum(int(one["n"]) for one in quantiles.values())
    return {
        **quantiles,
        "closed": closed,
        "processor_s_per_1000": 1000 * cpu / max(1, answered),
    }


def processor_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _request(items: Sequence[RawId]) -> bytes:
    body = json.dumps({"session": list(items[:3]), "k": 20}).encode()
    return (
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end and length and len(body) == int(length[1]))


def _connect(url: str, n: int, poll: select.epoll) -> dict[int, socket.socket]:
    parts = urlsplit(url)
    sockets = {}
    for _ in range(n):
        connection = socket.create_connection((str(parts.hostname), int(parts.port or 80)), 30)
        connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sockets[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    return sockets


def _received(control: Sequence[tuple[int, int, bytes]]) -> int:
    """The time at which the kernel received what was read, ns."""
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()


def _quantiles(name: str, ms: Sequence[float]) -> dict[str, float]:
    at = np.quantile(ms, [0.5, 0.99, 1.0], method="higher").tolist()
    return dict(zip((f"{name}_median_ms", f"{name}_p99_ms", f"{name}_max_ms"), at, strict=True))
