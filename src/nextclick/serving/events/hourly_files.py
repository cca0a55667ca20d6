"""Events in files by the hour.

    FOLDER/
      2026-05-01T13-WORKER.jsonl      the segment of a running hour, one JSON object per line
      2026-05-01T13-WORKER.parquet    the segment of an hour that is over

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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nextclick.errors import ConfigError
from nextclick.serving.events.click_event import encode_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.serving.events.event_sink import Drop, EventQueue

log = logging.getLogger("nextclick.serving")
_HOUR = "%Y-%m-%dT%H"


class HourlyFiles:
    """The files of one process; see `EventSink`.

    Args:
        folder: where they are written.
        drop: called with a number of events that are lost and the reason.
        clock: seconds since the epoch.
        convert: whether segments of past hours are converted.
    """

    def __init__(
        self, folder: str | Path, drop: Drop, *, clock: Callable[[], float], convert: bool
    ):
        self.name = str(folder)
        self._folder = Path(folder)
        self._drop = drop
        self._clock = clock
        self._converts = convert
        self._worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: BinaryIO | None = None
        self._hour = ""
        self._converter: subprocess.Popen[bytes] | None = None
        self._convert()  # segments of processes that were killed

    def check(self) -> None:
        """See `EventSink`; creates the folder."""
        probe = self._folder / f".{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"--event-log {self.name}: cannot be written: {os.strerror(error.errno or 0)}; "
                "name a folder that the server may write"
            ) from error

    def write(self, queue: EventQueue) -> None:
        """Append the events to the segment of the hour, and sync it; see `EventSink`."""
        events = [queue.popleft() for _ in range(len(queue))]
        hour = datetime.fromtimestamp(self._clock(), UTC).strftime(_HOUR)
        try:
            if self._file is not None and hour != self._hour:
                self._close_file()
                self._convert()
            if not events:
                return
            if self._file is None:
                self._file, self._hour = _open_segment(self._folder, hour, self._worker), hour
            self._file.write(b"".join(encode_event(event) + b"\n" for event in events))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._close_file()
            self._drop(len(events), os.strerror(error.errno or 0))

    def close(self, seconds: float) -> None:
        """See `EventSink`; waits for a conversion that runs, however long it takes."""
        del seconds
        self._close_file()
        if self._converter is not None:
            self._converter.wait()

    def _close_file(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                log.warning("the event log %s: %s", self.name, os.strerror(error.errno or 0))
        self._file = None

    def _convert(self) -> None:
        """Convert the segments that nobody writes any more, in a process of low priority."""
        if not self._converts or (self._converter is not None and self._converter.poll() is None):
            return
        command = [sys.executable, "-m", "nextclick.data.event_segments", self.name]
        self._converter = subprocess.Popen(command)  # noqa: S603


def _open_segment(folder: Path, hour: str, worker: str) -> BinaryIO:
    """Open a new segment; its lock says that it is being written."""
    name = f"{hour}-{worker}-{secrets.token_hex(2)}.jsonl"
    scratch = folder / f".{name}"
    handle = os.open(scratch, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    scratch.rename(folder / name)  # with the name the lock must be there
    return os.fdopen(handle, "ab")
