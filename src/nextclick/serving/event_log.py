"""The event log of a server: each click with the items that were shown after it.

A request puts its event into a bounded queue and does not wait. A thread hands the queue to the
place of `--event-log`, see `events.event_sink`. Events wait in the queue while the place does not
respond. They are dropped and counted if the queue is full, or if the place loses them.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from nextclick.serving.events.click_event import ClickEvent
from nextclick.serving.events.event_sink import SinkUnavailableError, open_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import RawId

log = logging.getLogger("nextclick.serving")

MAX_QUEUE = 20_000  # events that wait
CLOSE_SECONDS = 5.0  # to write the queue when the server stops
_INTERVAL = 0.25  # seconds between two writes
_RETRY = 0.05  # seconds between two attempts when the server stops


class EventLog:
    """Writes the events of one process.

    Args:
        location: a folder, or the address of a topic or a stream.
        on_drop: called with the number of events that were dropped.
        max_queue: events that may wait.
        clock: seconds since the epoch.
        start: whether to start the thread that writes, and processes that convert files.

    Attributes:
        dropped: number of events that were not written.
        problem: why the events cannot be written now, or None.
    """

    def __init__(
        self,
        location: str,
        on_drop: Callable[[int], None],
        *,
        max_queue: int = MAX_QUEUE,
        clock: Callable[[], float] = time.time,
        start: bool = True,
    ):
        self.dropped = 0
        self.problem: str | None = None
        self._on_drop = on_drop
        self._max_queue = max_queue
        self._clock = clock
        self._queue: deque[ClickEvent] = deque()
        self._counting = threading.Lock()  # the thread and requests drop events
        self._reasons: Counter[str] = Counter()  # of drops that are not logged yet
        self._sink = open_sink(
            str(location), self._drop, max_queue=max_queue, clock=clock, convert=start
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event log", daemon=True)
        if start:
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
            self._drop(1, self.problem or "more clicks arrive than can be written")
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
        """Hand the queued events to the sink; those that it cannot write now stay in the queue."""
        try:
            self._sink.write(self._queue)
        except SinkUnavailableError as error:
            if self.problem is None:
                log.warning("the event log %s cannot be written: %s", self._sink.name, error)
            self.problem = str(error)
        else:
            if self.problem is not None:
                log.warning("the event log %s can be written again", self._sink.name)
            self.problem = None
        self._log_drops()

    def close(self) -> None:
        """Write what is queued, within `CLOSE_SECONDS`, and stop the thread."""
        until = time.monotonic() + CLOSE_SECONDS
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.write()
        while self._queue and time.monotonic() < until:
            time.sleep(_RETRY)
            self.write()
        n_left = len(self._queue)
        self._queue.clear()
        self._drop(n_left, self.problem or "the server stops")
        self._sink.close(max(until - time.monotonic(), 0.0))
        self._log_drops()

    def state(self) -> dict[str, Any]:
        """The field `event_log` of `/readyz`."""
        state: dict[str, Any] = {"dropped": self.dropped, "waiting": len(self._queue)}
        return state if self.problem is None else state | {"problem": self.problem}

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.write()

    def _drop(self, number: int, reason: str) -> None:
        """Count dropped events; the thread logs them, since a request must not wait for a line."""
        if number:
            with self._counting:
                self.dropped += number
                self._reasons[reason] += number
            self._on_drop(number)

    def _log_drops(self) -> None:
        with self._counting:
            reasons, self._reasons = self._reasons, Counter()
        for reason, number in reasons.items():
            log.warning("the event log %s dropped %d events: %s", self._sink.name, number, reason)
