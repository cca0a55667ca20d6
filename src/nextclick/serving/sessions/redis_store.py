"""Live sessions in Redis or Valkey, shared by several machines.

A session is a list of clicks with an expiry. A click takes one round trip: append, trim, set the
expiry and read the list, in one transaction. If Redis does not respond, a background task pings it
every half second, and requests do not contact it until a ping succeeds. So requests do not wait for
the timeout one by one, and a restarted Redis is not flooded by all of them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import Click, Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nextclick.serving.sessions.session_store import StoreLimits

_PREFIX = "nextclick:session:"
_TIMEOUT = 0.25  # seconds for a response
_PING_INTERVAL = 0.5  # seconds between pings while Redis does not respond
_CONNECTION_ERRORS = (RedisError, OSError, TimeoutError)


class RedisStore:
    """See `SessionStore`."""

    name = "redis"

    def __init__(self, url: str, limits: StoreLimits):
        self._limits = limits
        self._reconnecting: asyncio.Task[None] | None = None  # runs while Redis does not respond
        self._closed = False
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Click)
        try:
            self._redis: Any = Redis.from_url(
                url,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=None,
                protocol=2,  # with 3 the client fails on a pooled connection that the server closed
            )
        except ValueError as error:
            raise ConfigError(
                f"--state: invalid Redis URL: {error}; write redis://HOST:PORT/DATABASE"
            ) from None

    @classmethod
    def open(cls, url: str, limits: StoreLimits, clock: Callable[[], float]) -> Self:
        """See `SessionStore`; sessions expire by the clock of Redis."""
        del clock
        return cls(url, limits)

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        name = _PREFIX + key
        pipe = self._redis.pipeline(transaction=True)
        pipe.rpush(name, self._encoder.encode(click))
        pipe.ltrim(name, -self._limits.clicks, -1)
        pipe.pexpire(name, int(self._limits.seconds * 1000))
        pipe.lrange(name, 0, -1)
        *_, values = await self._call(pipe.execute())
        return self._session(values)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        values = await self._call(self._redis.lrange(_PREFIX + key, 0, -1))
        return self._session(values) if values else None

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        return bool(await self._call(self._redis.delete(_PREFIX + key)))

    async def sweep(self) -> int:
        """See `SessionStore`; Redis removes expired keys itself."""
        return 0

    async def ready(self) -> bool:
        """See `SessionStore`."""
        try:
            await self._call(self._redis.ping())
        except StoreUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """See `SessionStore`."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reconnecting
        await self._redis.aclose()

    async def _call(self, response: Awaitable[Any]) -> Any:
        if self._is_down():
            if hasattr(response, "close"):
                response.close()  # a coroutine that is never awaited
            raise StoreUnavailableError("redis has not responded since the connection failed")
        try:
            return await response
        except _CONNECTION_ERRORS as error:
            if not self._is_down():
                self._reconnecting = asyncio.create_task(self._reconnect())
            raise StoreUnavailableError(f"redis: {error}") from error

    def _is_down(self) -> bool:
        return self._reconnecting is not None and not self._reconnecting.done()

    async def _reconnect(self) -> None:
        while not self._closed:  # redis turns a cancellation while connecting into a timeout
            await asyncio.sleep(_PING_INTERVAL)
            with contextlib.suppress(*_CONNECTION_ERRORS):
                # a pooled connection that the network dropped silently would fail once more
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                await self._redis.ping()
                return

    def _session(self, values: list[bytes]) -> Session:
        try:
            return Session([self._decoder.decode(value) for value in values])
        except msgspec.MsgspecError as error:
            raise StoreUnavailableError(
                f"redis: the value of this key is not a session: {error}"
            ) from error
