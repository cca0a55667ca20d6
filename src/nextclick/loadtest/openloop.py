"""Requests sent when they are due, whether or not earlier ones have been answered.

A client that waits for an answer before it asks again sends fewer requests when the server is slow,
and so leaves out the very ones that would have waited (coordinated omission). Here the times at
which requests are due are drawn beforehand, and latency is counted from them.

A request waits in the generator while all connections are taken. That is waiting for the server,
and is counted. What is not the server's is a generator that notices late that a request is due,
since it has too little of a processor: this is measured for each request, and told.
"""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nextclick.loadtest.ask import told
from nextclick.loadtest.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextclick.core.types import Float64Array
    from nextclick.loadtest.address import Address

_EXAMPLES = 3
_TOLD_EVERY = 0.2  # seconds
_OLDEST = 2.0  # seconds that a connection was idle: servers close those that were idle for longer
_DEGRADED = b'"degraded":true'


@dataclass(slots=True)
class Log:
    """What happened to the requests of one rate that were due after the warm-up.

    Attributes:
        latency: seconds from when each was due to its answer; of one that timed out, until then.
        service: seconds from when it was sent, of the same requests.
        lag: seconds by which the generator noticed late that a request was due.
        errors: kind of failure to how many.
        examples: kind of failure to what the server said, of some.
        answered: answers with a status of success.
        degraded: of those, given without the live session.
        waited: requests that found no free connection.
        last: seconds from the end of the warm-up to the last success.
        busy: processor seconds of the generator, from its start to its end.
        wall: seconds of the same.
        stopped: not all were sent.
    """

    latency: array[float] = field(default_factory=lambda: array("d"))
    service: array[float] = field(default_factory=lambda: array("d"))
    lag: array[float] = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    answered: int = 0
    degraded: int = 0
    waited: int = 0
    last: float = 0.0
    busy: float = 0.0
    wall: float = 0.0
    stopped: bool = False


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that is due."""

    due: float
    counts: bool
    request: bytes
    sent: float = 0.0
    slot: _Slot | None = None
    is_over: bool = False


@dataclass(slots=True, eq=False)
class _Slot:
    """A place for a connection."""

    connection: Connection | None = None
    asked: _Asked | None = None
    idle_since: float = 0.0


class OpenLoop:
    """One rate.

    Args:
        address: of the server.
        due: (n,) ascending, seconds from the start.
        requests: at least n of them.
        warm_up: requests that are due before so many seconds are sent and not counted.
        connections: how many are opened.
        timeout: seconds from when a request was due.
        stop: asked now and then whether to end early.
        progress: told now and then how many requests were due, and how many of them failed.
    """

    def __init__(
        self,
        address: Address,
        due: Float64Array,
        requests: Iterator[bytes],
        *,
        warm_up: float,
        connections: int,
        timeout: float,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.log = Log()
        self._address = address
        self._due: list[float] = due.tolist()
        self._requests = requests
        self._warm_up = warm_up
        self._timeout = timeout
        self._stop = stop
        self._progress = progress
        self._slots = [_Slot() for _ in range(connections)]
        self._idle: list[_Slot] = []
        self._waiting: deque[_Asked] = deque()
        self._open: deque[_Asked] = deque()  # in the order in which they were due
        self._next = 0
        self._left = 0  # requests that were due and are not over
        self._failed = 0
        self._tell_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Log:
        """Send everything, wait for the answers, close.

        Raises:
            OSError: no connection can be opened at the start.
        """
        loop = asyncio.get_running_loop()
        self._loop, self._over = loop, asyncio.Event()
        await asyncio.gather(*(self._connect(slot) for slot in self._slots))
        self._idle = self._slots[::-1]
        gc.collect()
        gc.freeze()
        gc.disable()  # a pause of the generator would be counted as the server's
        wall, busy = time.perf_counter(), time.process_time()
        self._start = loop.time()
        try:
            self._dispatch()
            self._watch()
            await self._over.wait()
        finally:
            self.log.wall = time.perf_counter() - wall
            self.log.busy = time.process_time() - busy
            gc.enable()
            gc.unfreeze()
            await self._close()
        return self.log

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.abort()
        await asyncio.sleep(0)  # for them to close

    # when a request is due

    def _dispatch(self) -> None:
        """Take all requests that are due, and come again when the next one is."""
        n = len(self._due)
        while self._next < n:
            now = self._loop.time()
            due = self._start + self._due[self._next]
            if due > now:
                self._loop.call_at(due, self._dispatch)
                return
            counts = self._due[self._next] >= self._warm_up
            self._next += 1
            asked = _Asked(due, counts, next(self._requests))
            self._left += 1
            self._open.append(asked)
            if counts:
                self.log.lag.append(now - due)
            if self._idle:
                self._send(self._idle.pop(), asked)
            else:
                self.log.waited += counts
                self._waiting.append(asked)

    def _send(self, slot: _Slot, asked: _Asked) -> None:
        slot.asked, asked.slot = asked, slot
        now = asked.sent = self._loop.time()
        connection = slot.connection
        if connection is None or not connection.is_open or now - slot.idle_since > _OLDEST:
            if connection is not None:
                connection.abort()
                slot.connection = None
            task = self._loop.create_task(self._reconnect(slot, asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            connection.send(asked.request)

    async def _reconnect(self, slot: _Slot, asked: _Asked) -> None:
        """Open a connection for a request, whose latency this is a part of."""
        try:
            await self._connect(slot)
        except OSError as error:  # a TimeoutError is one, too
            refused = isinstance(error, ConnectionRefusedError)
            self._fail(asked, "connection refused" if refused else "cannot connect")
            self._free(slot)
            return
        if slot.asked is asked and not asked.is_over:
            assert slot.connection is not None
            slot.connection.send(asked.request)
        else:
            self._free(slot)

    async def _connect(self, slot: _Slot) -> None:
        def answered(connection: Connection, status: int, body: bytes) -> None:
            if slot.connection is connection:
                self._answered(slot, status, body)

        def lost(connection: Connection, kind: str) -> None:
            if slot.connection is connection:
                self._lost(slot, kind)

        slot.connection = await connect(self._address, answered, lost, self._timeout)
        slot.idle_since = self._loop.time()

    # when something comes back

    def _answered(self, slot: _Slot, status: int, body: bytes) -> None:
        asked = slot.asked
        if asked is None:  # an answer to nothing: whoever is there speaks something else
            return
        now = self._loop.time()
        if status < 300:
            if asked.counts:
                self._record(asked, now)
                self.log.answered += 1
                self.log.degraded += _DEGRADED in body
                self.log.last = max(self.log.last, now - self._start - self._warm_up)
            self._finish(asked)
        else:
            self._fail(asked, f"status {status}", told(status, body))
        self._free(slot)

    def _lost(self, slot: _Slot, kind: str) -> None:
        slot.connection = None
        asked = slot.asked
        if asked is not None:
            self._fail(asked, kind)
            self._free(slot)

    def _record(self, asked: _Asked, now: float) -> None:
        self.log.latency.append(now - asked.due)
        self.log.service.append(now - asked.sent)

    def _fail(self, asked: _Asked, kind: str, said: str | None = None) -> None:
        if asked.is_over:
            return
        self._failed += 1
        if asked.counts:
            self.log.errors[kind] += 1
            if said is not None and len(self.log.examples) < _EXAMPLES:
                self.log.examples.setdefault(kind, said)
        self._finish(asked)

    def _finish(self, asked: _Asked) -> None:
        asked.is_over = True
        self._left -= 1
        if self._left == 0 and self._next == len(self._due):
            self._over.set()

    def _free(self, slot: _Slot) -> None:
        """Give the slot the request that waits longest, or let it rest."""
        slot.asked = None
        slot.idle_since = self._loop.time()
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.is_over:
                self._send(slot, asked)
                return
        self._idle.append(slot)

    # now and then

    def _watch(self) -> None:
        """End what waits for too long, tell how far it is, stop if asked to."""
        now = self._loop.time()
        while self._open and (self._open[0].is_over or self._open[0].due + self._timeout <= now):
            asked = self._open.popleft()
            if not asked.is_over:
                self._time_out(asked, now)
        if self._progress is not None and now >= self._tell_at:
            self._tell_at = now + _TOLD_EVERY
            self._progress(self._next, self._failed)
        if self._stop() and not self.log.stopped:
            self.log.stopped = True
            self._next = len(self._due)  # nothing more is due
            for asked in [a for a in self._open if not a.is_over]:
                asked.counts = False
                self._finish(asked)
            self._over.set()
        if not self._over.is_set():
            # what is over may have kept the oldest from being seen: look again soon
            soon = self._open[0].due + self._timeout if self._open else now + _TOLD_EVERY
            self._loop.call_at(min(max(soon, now + 0.001), now + _TOLD_EVERY), self._watch)

    def _time_out(self, asked: _Asked, now: float) -> None:
        if asked.counts and asked.slot is not None:
            self._record(asked, now)
        elif asked.counts:  # it was never sent, so nothing is known of the service
            self.log.latency.append(now - asked.due)
        slot = asked.slot
        self._fail(asked, "timeout" if slot is not None else "timeout before a connection was free")
        if slot is not None and slot.asked is asked and slot.connection is not None:
            slot.connection.abort()
            slot.connection = None
            self._free(slot)
