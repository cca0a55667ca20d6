"""Live sessions in Redis or Valkey, shared by several machines.

A session is a list of clicks with an expiry. A click takes one round trip: append, trim, set the
expiry and read the list, in one transaction. If Redis does not respond, a background task pings it
every half second, and requests do not contact it until a ping succeeds. So requests do not wait for
the timeout one by one, and a restarted Redis is not flooded by all of them at once.

Redis may also respond with an error to a command. Such an error says nothing about other requests,
which are sent as before. Messages of the client library contain keys and values; only the code of
the error is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any, Self

import msgspec
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import (
    Click,
    Session,
    SessionStoreError,
    SessionUnreadableError,
    StoreConfigError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nextclick.serving.sessions.session_store import StoreLimits

_PREFIX = "nextclick:session:"
_TIMEOUT = 0.25  # seconds for a response
_PING_INTERVAL = 0.5  # seconds between pings while Redis does not respond
_ERRORS = (RedisError, OSError, TimeoutError)
_PROBE = "nextclick:write-check"
_PROBE_MILLISECONDS = 1000
# errors that last until the configuration changes
_CONFIG_ERRORS = (
    AuthenticationError, AuthorizationError, NoPermissionError, ReadOnlyError, ssl.SSLError,
)  # fmt: skip
_CONFIG_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "READONLY"})
_CODES = _CONFIG_CODES | {
    "BUSY", "CLUSTERDOWN", "ERR", "EXECABORT", "LOADING", "MASTERDOWN", "MISCONF", "MOVED",
    "NOREPLICAS", "OOM", "TRYAGAIN", "WRONGTYPE",
}  # fmt: skip


class RedisStore:
    """See `SessionStore`."""

    name = "redis"

    def __init__(self, url: str, limits: StoreLimits):
        self._limits = limits
        self._reconnecting: asyncio.Task[None] | None = None  # runs while Redis does not respond
        self._failure = ""  # the latest reason why Redis does not respond
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

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """See `SessionStore`; in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.lrange(_PREFIX + key, 0, -1)
        found = await self._call(pipe.execute()) if keys else []
        return [self._session(values) if values else None for values in found]

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        return bool(await self._call(self._redis.delete(_PREFIX + key)))

    async def sweep(self) -> int:
        """See `SessionStore`; Redis removes expired keys itself."""
        return 0

    async def check_write(self) -> None:
        """See `SessionStore`."""
        await self._call(self._redis.set(_PROBE, b"", px=_PROBE_MILLISECONDS))

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
            raise StoreUnavailableError(
                f"redis has not responded since the connection failed: {self._failure}"
            )
        try:
            return await response
        except _ERRORS as error:
            failure = _failure(error)
            if not isinstance(error, ResponseError) and not self._is_down():
                self._failure = str(failure)
                self._reconnecting = asyncio.create_task(self._reconnect())
            raise failure from None  # the message of the cause contains ids

    def _is_down(self) -> bool:
        return self._reconnecting is not None and not self._reconnecting.done()

    async def _reconnect(self) -> None:
        while not self._closed:  # redis turns a cancellation while connecting into a timeout
            await asyncio.sleep(_PING_INTERVAL)
            try:
                # a pooled connection that the network dropped silently would fail once more
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                await self._redis.ping()
            except _ERRORS as error:
                self._failure = str(_failure(error))
            else:
                return

    def _session(self, values: list[bytes]) -> Session:
        try:
            return Session([self._decoder.decode(value) for value in values])
        except msgspec.MsgspecError:
            raise SessionUnreadableError("redis: the value of a key is not a session") from None


def _failure(error: Exception) -> SessionStoreError:
    """The error to report, without keys and values."""
    code, cause = _code(error), _config_error(error)
    shown = f"redis: {type(error).__name__}" + (f" {code}" if code else "")
    if code == "WRONGTYPE":
        return SessionUnreadableError(shown)
    if isinstance(cause, ssl.SSLError):
        return StoreConfigError(f"{shown}: TLS: {getattr(cause, 'reason', type(cause).__name__)}")
    if isinstance(cause, socket.gaierror):
        return StoreConfigError(f"{shown}: the host does not exist")
    if cause is not None or code in _CONFIG_CODES:
        return StoreConfigError(shown)
    return StoreUnavailableError(shown)


def _code(error: Exception) -> str | None:
    """The code that an error message of Redis begins with."""
    if not isinstance(error, RedisError):
        return None
    # the client library puts the command, which may contain any text, before the message
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    code = message.lstrip("(\"'").partition(" ")[0]
    return code if code in _CODES else None


def _config_error(error: BaseException | None) -> BaseException | None:
    """The error, or one of its causes, that lasts until the configuration changes."""
    while error is not None:
        if isinstance(error, _CONFIG_ERRORS):
            return error
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
            return error
        error = error.__cause__ or error.__context__
    return None
