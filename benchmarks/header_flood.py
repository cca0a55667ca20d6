"""Floods of headers: what the server answers, and how much memory it takes.

`serve_drills.py` imports it.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from server_process import MIB, Client, Running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE = b"x-header-%07d: " + b"x" * 1000 + b"\r\n"
N_LINES = 103_000  # 103 MB
_CHUNK = b"x" * (1 << 16)
ONE_HEADER = 60 * MIB


def header_floods(server: Running) -> dict[str, Any]:
    """Many headers, one large header, and many connections with headers that do not end."""
    results: dict[str, Any] = {}
    for name, parts in {
        "103 MB of headers": lambda: (_LINE % n for n in range(N_LINES)),
        "a header of 60 MB": _one_header,
    }.items():
        results[name] = _beside(server, lambda parts=parts: _send(server.url, parts()))
    results["200 connections, 32 kB of an endless header each"] = _beside(
        server, lambda: _endless(server.url, 200)
    )
    return results


def _beside(server: Running, send: Any) -> dict[str, Any]:
    """The result of a flood, peak memory, and the latency of other requests meanwhile."""
    before = _peak(server.process.pid)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(send()))
    latencies: list[float] = []
    with Client(server.url) as client:
        client.get("/healthz")
        thread.start()
        while thread.is_alive() or not latencies:
            began = time.perf_counter()
            client.get("/healthz")
            latencies.append(1000 * (time.perf_counter() - began))
            time.sleep(0.002)
    thread.join()
    return {
        "answer": results[0],
        "peak memory before, MiB": before,
        "peak memory after, MiB": _peak(server.process.pid),
        "healthz p99_ms": float(np.quantile(latencies, 0.99, method="higher")),
    }


def _one_header() -> Iterator[bytes]:
    yield b"x: "
    for _ in range(ONE_HEADER // len(_CHUNK)):
        yield _CHUNK


def _send(url: str, parts: Iterable[bytes]) -> str:
    """The first line of the answer, and how much of the headers was sent before it."""
    sent = 0
    with _connect(url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        with suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
                sent += len(part)
        line = b"closed"
        with suppress(ConnectionError):
            line = connection.recv(1 << 16).partition(b"\r\n")[0] or line
    return f"{line.decode()} after {sent / MIB:.1f} MiB"


def _endless(url: str, n: int) -> str:
    """Connections that send headers up to the limit, and wait."""
    connections = [_connect(url) for _ in range(n)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 32_000)
    lines = {connection.recv(1 << 16).partition(b"\r\n")[0].decode() for connection in connections}
    for connection in connections:
        connection.close()
    return ", ".join(sorted(lines))


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 80)), 60)


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
