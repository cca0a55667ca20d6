"""The places that an event log can be written to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nextclick.core.kafka_topic import KafkaTopic
from nextclick.core.locations import is_url
from nextclick.core.redis_stream import REDIS_SCHEMES, RedisStream
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections import deque

    from nextclick.serving.events.click_event import ClickEvent

EventQueue: TypeAlias = "deque[ClickEvent]"
Drop: TypeAlias = Callable[[int, str], None]
OPTION = "--event-log"
FORMS = "a folder, kafka://HOST:PORT/TOPIC or redis://HOST:PORT/0?stream=NAME"


class SinkUnavailableError(Exception):
    """The events cannot be written now; the message says why, without credentials and ids."""


class EventSink(Protocol):
    """A place for events. Its methods are called by one thread.

    Attributes:
        name: the place, for messages; without credentials.
    """

    name: str

    def check(self) -> None:
        """Check that events can be written, unless the place does not respond.

        Raises:
            ConfigError: it rejects events because of the configuration.
        """
        ...

    def write(self, queue: EventQueue) -> None:
        """Write events, and remove them from the left of the queue.

        It is called several times a second, also with an empty queue.

        Raises:
            SinkUnavailableError: the events that are left may be written later.
        """
        ...

    def close(self, seconds: float) -> None:
        """Finish writing within some seconds, and release files and connections."""
        ...


def open_sink(
    location: str, drop: Drop, *, max_queue: int, clock: Callable[[], float], convert: bool
) -> EventSink:
    """Open the place of a value of `--event-log`; nothing is sent yet.

    Args:
        location: a folder, or the address of a topic or a stream.
        drop: called with a number of events that are lost and the reason.
        max_queue: events that the client of a topic may hold.
        clock: seconds since the epoch.
        convert: whether finished files are converted to Parquet, by a process of their own.

    Raises:
        ConfigError: the address is malformed, or its client is not installed or misconfigured.
    """
    scheme = _scheme(location)
    if scheme == "kafka":
        from nextclick.serving.events.kafka_sink import KafkaSink

        return KafkaSink(KafkaTopic.parse(OPTION, location), drop, max_queue)
    if scheme in REDIS_SCHEMES:
        from nextclick.serving.events.redis_sink import RedisSink

        return RedisSink(RedisStream.parse(OPTION, location))
    from nextclick.serving.events.hourly_files import HourlyFiles

    return HourlyFiles(location, drop, clock=clock, convert=convert)


def check_event_log(location: str) -> None:
    """Check that an event log can be written, before the server starts.

    A broker that does not respond may start later: the server starts without it.

    Raises:
        ConfigError: the folder cannot be written, the address is malformed, its client is not
            installed or misconfigured, or the broker rejects writes because of the configuration.
    """
    sink = open_sink(location, _ignore, max_queue=1, clock=time.time, convert=False)
    try:
        sink.check()
    finally:
        sink.close(0.0)


def _scheme(location: str) -> str:
    """The scheme of an address; empty for a folder.

    Raises:
        ConfigError: there is no sink for addresses of the scheme.
    """
    if not is_url(location):
        return ""
    scheme = location.partition(":")[0].lower()
    if scheme not in ("kafka", *REDIS_SCHEMES):
        raise ConfigError(f"{OPTION} must be {FORMS}, got an address of {scheme}://; choose one")
    return scheme


def _ignore(number: int, reason: str) -> None:
    pass
