"""The event log of a server: each click with the items that were shown after it.

    FOLDER/
      2026-05-01T13-WORKER.jsonl      the segment of a running hour, one JSON object per line
      2026-05-01T13-WORKER.parquet    the segment of an hour that is over

A request puts its event into a bounded queue and does not wait. A thread writes the queue to the
segment and syncs it to disk. Events are dropped and counted if the queue is full or the disk fails.
Each worker has files of its own. At the end of the hour a process of low priority converts the
segments, so that the server loads no dataframe library; see `data.event_segments`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from nextclick.core.types import RawId  # noqa: TC001 (msgspec reads the annotation)
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("nextclick.serving")

MAX_QUEUE = 20_000  # events that wait for the disk
_INTERVAL = 0.25  # seconds between two writes
_HOUR = "%Y-%m-%dT%H"
_encode = msgspec.json.Encoder().encode


class ClickEvent(msgspec.Struct):
    """A line of the event log.

    Attributes:
        request: random id of the request.
        time: milliseconds since the epoch; of the click, for a live session.
        session: id of the live session; null for a request without one.
        user: id of the user, if the request has one.
        model: name of the model that answered.
        version: its version.
        item: the item that was clicked, the last one of the request; null for a request of the
            first click.
        items: the items that were shown, best first: position 1, 2, …
        propensity: for each of them, the probability that it is shown; 1 without exploration.
        arm: version of an A/B test that the session or its visitor is assigned to, or None.
        received: milliseconds since the epoch, by the clock of the server.
    """

    request: str
    time: int
    session: str | None
    user: RawId | None
    model: str
    version: str
    item: RawId | None
    items: list[RawId]
    propensity: list[float]
    arm: str | None
    received: int


class EventLog:
    """Writes the events of one process.

    Args:
        folder: where the segments are written.
        on_drop: called with the number of events that were dropped.
        max_queue: events that may wait.
        clock: seconds since the epoch.
        start: whether to start the thread that writes.

    Attributes:
        dropped: number of events that were not written.
    """

    def __init__(
        self,
        folder: str | Path,
        on_drop: Callable[[int], None],
        *,
        max_queue: int = MAX_QUEUE,
        clock: Callable[[], float] = time.time,
        start: bool = True,
    ):
        self.folder = Path(folder)
        self.dropped = 0
        self._on_drop = on_drop
        self._max_queue = max_queue
        self._clock = clock
        self._worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._queue: deque[ClickEvent] = deque()
        self._file: BinaryIO | None = None
        self._hour = ""
        self._stop = threading.Event()
        self._converter: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="event log", daemon=True)
        if start:
            self._convert()  # segments of processes that were killed
            self._thread.start()

    def add(
        self,
        *,
        session: str | None,
        user: RawId | None,
        seconds: float | None,
        answered_by: tuple[str, str],
        item: RawId | None,
        items: Sequence[RawId],
        propensity: Sequence[float] | None = None,
        arm: str | None = None,
    ) -> None:
        """Queue an event; it is dropped if the queue is full.

        Args:
            session: id of the live session, or None.
            user: id of the user, or None.
            seconds: time of the click in seconds since the epoch; None is now.
            answered_by: names of the model and of its version.
            item: the clicked item; None before the first click.
            items: the recommended items.
            propensity: the probability that each of them is shown; None is 1 for all.
            arm: the assigned version of an A/B test, or None.
        """
        if len(self._queue) >= self._max_queue:
            self._drop(1, "more clicks arrive than the disk can store")
            return
        received = round(self._clock() * 1000)
        milliseconds = received if seconds is None else round(seconds * 1000)
        model, version = answered_by
        event = ClickEvent(
            secrets.token_hex(8), milliseconds, session, user, model, version, item, list(items),
            [1.0] * len(items) if propensity is None else list(propensity), arm, received,
        )  # fmt: skip
        self._queue.append(event)

    def write(self) -> None:
        """Write the queued events to the segment of the hour, and sync it."""
        events = [self._queue.popleft() for _ in range(len(self._queue))]
        hour = datetime.fromtimestamp(self._clock(), UTC).strftime(_HOUR)
        try:
            if self._file is not None and hour != self._hour:
                self._close_file()
                self._convert()
            if not events:
                return
            if self._file is None:
                self._file, self._hour = _open_segment(self.folder, hour, self._worker), hour
            self._file.write(b"".join(_encode(event) + b"\n" for event in events))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._close_file()
            self._drop(len(events), os.strerror(error.errno or 0))

    def close(self) -> None:
        """Write what is queued and stop the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.write()
        self._close_file()
        if self._converter is not None:
            self._converter.wait()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.write()

    def _drop(self, number: int, reason: str) -> None:
        if number:
            self.dropped += number
            self._on_drop(number)
            log.warning("the event log %s drops events: %s", self.folder, reason)

    def _close_file(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                log.warning("the event log %s: %s", self.folder, os.strerror(error.errno or 0))
        self._file = None

    def _convert(self) -> None:
        """Convert the segments that nobody writes any more, in a process of low priority."""
        if self._converter is not None and self._converter.poll() is None:
            return
        command = [sys.executable, "-m", "nextclick.data.event_segments", str(self.folder)]
        self._converter = subprocess.Popen(command)  # noqa: S603


def check_event_log(folder: str) -> None:
    """Create the folder of an event log, and check that it can be written.

    Raises:
        ConfigError: it cannot be written.
    """
    path = Path(folder)
    probe = path / f".{secrets.token_hex(8)}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--event-log {folder}: cannot be written: {os.strerror(error.errno or 0)}; name a "
            "folder that the server may write"
        ) from error


def _open_segment(folder: Path, hour: str, worker: str) -> BinaryIO:
    """Open a new segment; its lock says that it is being written."""
    name = f"{hour}-{worker}-{secrets.token_hex(2)}.jsonl"
    scratch = folder / f".{name}"
    handle = os.open(scratch, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    scratch.rename(folder / name)  # with the name the lock must be there
    return os.fdopen(handle, "ab")
