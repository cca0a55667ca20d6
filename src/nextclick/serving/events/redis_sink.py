"""Events as entries of a stream of Redis or Valkey.

A batch is one transaction: Redis adds all of its entries or none. If the connection breaks before
the answer, the batch is sent again, so an event may be there twice; readers tell by `request`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nextclick.core.event_schema import EVENT_FIELD
from nextclick.errors import ConfigError
from nextclick.serving.events.click_event import encode_event
from nextclick.serving.events.event_sink import SinkUnavailableError
from nextclick.serving.sessions.session_store import StoreConfigError

if TYPE_CHECKING:
    from nextclick.core.redis_stream import RedisStream
    from nextclick.serving.events.event_sink import EventQueue

log = logging.getLogger("nextclick.serving")
_BATCH = 500
_TIMEOUT = 1.0  # seconds for an answer


class RedisSink:
    """See `EventSink`.

    Args:
        stream: the stream; the oldest entries above its length are deleted.
    """

    def __init__(self, stream: RedisStream):
        self.name = str(stream)
        self._stream = stream
        try:
            from redis import Redis

            from nextclick.serving.sessions import redis_failures
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--event-log redis needs the package {error.name}, which is not installed; "
                "pip install 'nextclick[redis]'"
            ) from None
        self._failures = redis_failures
        options = {**redis_failures.CLIENT_OPTIONS, "socket_timeout": _TIMEOUT}
        options["socket_connect_timeout"] = _TIMEOUT
        try:
            self._redis: Any = Redis.from_url(stream.url, **options, retry=None)
        except (ValueError, TypeError):  # whose message may contain the password
            raise ConfigError(
                f"--event-log {self.name}: the client rejects the address; write "
                "redis://HOST:PORT/0?stream=NAME"
            ) from None

    def check(self) -> None:
        """See `EventSink`."""
        failures = self._failures
        try:
            kind = self._redis.type(self._stream.stream)
        except failures.REDIS_ERRORS as error:
            failure = failures.store_failure(error)
            if isinstance(failure, StoreConfigError):
                raise ConfigError(
                    f"--event-log {self.name}: cannot be written: {failure}; check its address, "
                    "password, certificate and permissions"
                ) from None
            log.warning("the event log cannot be written yet: %s", failure)
            return
        if kind not in (b"none", b"stream"):
            raise ConfigError(
                f"--event-log {self.name}: the key is a {kind.decode()}, not a stream; choose "
                "another name"
            )

    def write(self, queue: EventQueue) -> None:
        """See `EventSink`."""
        while queue:
            n = min(len(queue), _BATCH)
            pipe = self._redis.pipeline(transaction=True)
            for event in (queue[i] for i in range(n)):
                pipe.xadd(
                    self._stream.stream, {EVENT_FIELD: encode_event(event)},
                    maxlen=self._stream.max_length, approximate=True,
                )  # fmt: skip
            try:
                pipe.execute()
            except self._failures.REDIS_ERRORS as error:
                raise SinkUnavailableError(str(self._failures.store_failure(error))) from None
            for _ in range(n):
                queue.popleft()

    def close(self, seconds: float) -> None:
        """See `EventSink`."""
        del seconds
        self._redis.close()
