"""Shared code of the server benchmarks: a server in its own process, and a client.

`serve.py`, `serve_drills.py` and `served_equals_offline.py` import it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_READY_WITHIN = 900.0  # seconds; a million items compile, are read and are measured
_POLL = 0.02
_IDLE = 2.0  # seconds after which a kept connection is not relied on; servers close those
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        process: its first process.
        url: where it listens.
        seconds: from the start of the process to the first 200 of /readyz.
        log: what it has written.
    """

    process: subprocess.Popen[bytes]
    url: str
    seconds: float
    log: Path

    def memory(self) -> dict[str, float]:
        """MiB of the process: resident, and its share of what it shares with others."""
        return memory(self.process.pid)

    def processor_seconds(self) -> float:
        """Seconds that the process has computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system


def memory(pid: int) -> dict[str, float]:
    """MiB of a process: `rss` resident, and `pss`, its share of what it shares with others."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {
        name: re.search(rf"^{name}:\s+(\d+) kB", told, re.MULTILINE) for name in ("Rss", "Pss")
    }
    return {name.lower(): int(m[1]) / 1024 for name, m in found.items() if m is not None}


def serve_command(*arguments: object) -> list[str]:
    """`nextclick serve` with some arguments, on a free port."""
    return [sys.executable, "-m", "nextclick", "serve", *map(str, arguments), "--port", "0"]


@contextmanager
def running(command: Sequence[str], *, core: int | None = None) -> Iterator[Running]:
    """Start a server that prints its address, wait until it is ready, and stop it at the end.

    Args:
        command: the process.
        core: the processor it is pinned to; None for any.
    """
    with tempfile.TemporaryDirectory(prefix="nextclick-server-") as folder:
        log = Path(folder) / "log"
        began = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
            )
        try:
            url = _url(process, log)
            _wait_until_ready(process, url, log)
            yield Running(process, url, time.perf_counter() - began, log)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for who does not follow it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if found:
            return found[0]
        time.sleep(_POLL)
    raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')}")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError, HTTPException), Client(url) as client:
            if client.ask("GET", "/readyz")[0] == 200:
                return
        time.sleep(_POLL)
    raise SystemExit(f"the server did not become ready:\n{log.read_text(errors='replace')}")


class Client:
    """One connection that is kept."""

    def __init__(self, url: str, *, timeout: float = 60.0, token: str | None = None):
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._http = HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._used = 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of an answer.

        Raises:
            OSError, HTTPException: there is none.
        """
        content = None if body is None else json.dumps(body)
        if time.monotonic() - self._used > _IDLE:
            self._http.close()
        try:
            self._http.request(method, path, content, self._headers)
            answer = self._http.getresponse()
            told = answer.read()
        except (OSError, HTTPException):
            self._http.close()  # the next request opens another one
            raise
        self._used = time.monotonic()
        return answer.status, json.loads(told) if told else None

    def get(self, path: str) -> Any:
        """The JSON of a 200."""
        return self._good("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """The same of a POST."""
        return self._good("POST", path, body)

    def _good(self, method: str, path: str, body: object) -> Any:
        status, told = self.ask(method, path, body)
        if status != 200:
            raise SystemExit(f"{method} {path} {body}: status {status}: {told}")
        return told


def write_json(path: Path, value: object) -> None:
    """Write figures, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def machine() -> str:
    """Processor and number of cores, as they are."""
    told = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return f"{os.cpu_count()} cores ({name[1].strip() if name else 'unknown'})"
