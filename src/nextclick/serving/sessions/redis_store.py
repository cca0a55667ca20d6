"""Live sessions in Redis (or Valkey), which several machines share.

A session is a list of clicks that expires by itself. A click is one round trip: append, trim, set
the expiry and read back, as one transaction. When Redis does not answer, no request asks it until
one PING in each half second was answered: requests are answered without it meanwhile instead of
waiting for it one by one, and a Redis that is back is not met by all of them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import Click, Session, StateLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nextclick.serving.sessions.session_store import Limits

_PREFIX = "nextclick:session:"
_PATIENCE = 0.25  # seconds for an answer
_PAUSE = 0.5  # seconds between two PINGs to a Redis that is away
_AWAY = (RedisError, OSError, TimeoutError)


class RedisStore:
    """See `SessionStore`."""

    name = "redis"

    def __init__(self, url: str, limits: Limits):
        self._limits = limits
        self._returns: asyncio.Task[None] | None = None  # runs while Redis is away
        self._closed = False
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Click)
        try:
            self._redis: Any = Redis.from_url(
                url,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=None,
                protocol=2,  # with 3 it does not see that a kept connection was closed, and fails
            )
        except ValueError as error:
            raise ConfigError(
                f"--state: cannot be read as an address of Redis: {error}; "
                "write redis://HOST:PORT/DATABASE"
            ) from None

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        name = _PREFIX + key
        pipe = self._redis.pipeline(transaction=True)
        pipe.rpush(name, self._encoder.encode(click))
        pipe.ltrim(name, -self._limits.clicks, -1)
        pipe.pexpire(name, int(self._limits.seconds * 1000))
        pipe.lrange(name, 0, -1)
        found = await self._asked(pipe.execute())
        return self._session(found[-1])

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        found = await self._asked(self._redis.lrange(_PREFIX + key, 0, -1))
        return self._session(found) if found else None

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        return bool(await self._asked(self._redis.delete(_PREFIX + key)))

    async def sweep(self) -> int:
        """Redis does it by itself."""
        return 0

    async def ready(self) -> bool:
        """See `SessionStore`."""
        try:
            await self._asked(self._redis.ping())
        except StateLostError:
            return False
        return True

    async def close(self) -> None:
        """See `SessionStore`."""
        self._closed = True
        if self._returns is not None:
            self._returns.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._returns
        await self._redis.aclose()

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        if self._is_away():
            if hasattr(answer, "close"):
                answer.close()  # a coroutine that is never awaited
            raise StateLostError("redis has not answered yet since it was lost")
        try:
            return await answer
        except _AWAY as error:
            if not self._is_away():
                self._returns = asyncio.create_task(self._until_it_answers())
            raise StateLostError(f"redis: {error}") from error

    def _is_away(self) -> bool:
        return self._returns is not None and not self._returns.done()

    async def _until_it_answers(self) -> None:
        while not self._closed:  # a cancel while it connects comes out of redis as its timeout
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(*_AWAY):
                # a kept connection that the network cut off without a word would fail once more
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                await self._redis.ping()
                return

    def _session(self, values: list[bytes]) -> Session:
        try:
            return Session([self._decoder.decode(value) for value in values])
        except msgspec.MsgspecError as error:
            raise StateLostError(f"redis holds something else under this name: {error}") from error
