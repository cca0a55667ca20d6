"""Live sessions in Redis or Valkey, shared by several machines.

A session is a list of clicks with an expiry. A click takes one round trip: append, trim, set the
expiry and read the list, in one transaction. If Redis does not respond, a background task pings it
every half second, and requests do not contact it until a ping succeeds. So requests do not wait for
the timeout one by one, and a restarted Redis is not flooded by all of them at once. In a cluster
this holds for each node, and each session is one key, which one node has.

Redis may also respond with an error to a command. Such an error says nothing about other requests,
which are sent as before. Messages of the client library contain keys and values; only the code of
the error is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    RedisClusterException,
    ResponseError,
)

from nextclick.errors import ConfigError
from nextclick.serving.sessions.redis_failures import CLIENT_OPTIONS, REDIS_ERRORS, store_failure
from nextclick.serving.sessions.session_store import (
    Click,
    Session,
    SessionUnreadableError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nextclick.serving.sessions.session_store import StoreLimits

_PREFIX = "nextclick:session:"
_TIMEOUT = 0.25  # seconds for a response
_PING_INTERVAL = 0.5  # seconds between pings while Redis does not respond
_NODE = "redis"  # the only node, or any of a cluster that has not responded yet
_PROBE = "nextclick:write-check"
_PROBE_MILLISECONDS = 1000
_APPEND = """
redis.call("RPUSH", KEYS[1], ARGV[1])
redis.call("LTRIM", KEYS[1], ARGV[2], -1)
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return redis.call("LRANGE", KEYS[1], 0, -1)
"""


@dataclass(slots=True)
class _Outage:
    """A node that does not respond.

    Attributes:
        failure: the latest reason.
        reconnecting: pings the node until it responds.
    """

    failure: str
    reconnecting: asyncio.Task[None] | None = None


class RedisStore:
    """See `SessionStore`."""

    name: ClassVar[str] = "redis"
    usage: ClassVar[str] = "redis://HOST:PORT/DATABASE"

    def __init__(self, url: str, limits: StoreLimits):
        self._limits = limits
        self._outages: dict[str, _Outage] = {}  # node to its outage
        self._closed = False
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Click)
        try:
            self._redis = self._client(url)
        except ValueError as error:
            raise ConfigError(f"--state: invalid Redis URL: {error}; write {self.usage}") from None

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
        *_, values = await self._call(pipe.execute, name)
        return self._session(values)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        name = _PREFIX + key
        values = await self._call(lambda: self._redis.lrange(name, 0, -1), name)
        return self._session(values) if values else None

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """See `SessionStore`; in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.lrange(_PREFIX + key, 0, -1)
        found = await self._call(pipe.execute, _PREFIX) if keys else []
        return [self._session(values) if values else None for values in found]

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        name = _PREFIX + key
        return bool(await self._call(lambda: self._redis.delete(name), name))

    async def sweep(self) -> int:
        """See `SessionStore`; Redis removes expired keys itself."""
        return 0

    async def check_write(self) -> None:
        """See `SessionStore`."""
        await self._call(lambda: self._redis.set(_PROBE, b"", px=_PROBE_MILLISECONDS), _PROBE)

    async def close(self) -> None:
        """See `SessionStore`."""
        self._closed = True
        for outage in list(self._outages.values()):
            if outage.reconnecting is not None:
                outage.reconnecting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await outage.reconnecting
        await self._redis.aclose()

    async def _call(self, send: Callable[[], Awaitable[Any]], key: str) -> Any:
        """Send a command for a key, unless the node that has it does not respond."""
        node = self._node(key)
        if node in self._outages:
            raise StoreUnavailableError(
                "redis has not responded since the connection failed: "
                f"{self._outages[node].failure}"
            )
        try:
            return await send()
        except REDIS_ERRORS as error:
            failure = store_failure(error)
            if not isinstance(error, ResponseError) and node not in self._outages:
                outage = self._outages[node] = _Outage(str(failure))
                outage.reconnecting = asyncio.create_task(self._reconnect(node, outage))
            raise failure from None  # the message of the cause contains ids

    async def _reconnect(self, node: str, outage: _Outage) -> None:
        while not self._closed:  # redis turns a cancellation while connecting into a timeout
            await asyncio.sleep(_PING_INTERVAL)
            try:
                await self._ping(node)
            except REDIS_ERRORS as error:
                outage.failure = str(store_failure(error))
            else:
                del self._outages[node]
                return

    @staticmethod
    def _client(url: str) -> Any:
        """A client that does not wait longer than the timeout.

        Raises:
            ValueError: the URL is invalid.
        """
        return Redis.from_url(url, **_client_options(), retry=None)

    def _node(self, key: str) -> str:
        """The name of the node that has a key."""
        del key
        return _NODE

    async def _ping(self, node: str) -> None:
        """Ping a node through a new connection."""
        del node
        # a pooled connection that the network dropped silently would fail once more
        await self._redis.connection_pool.disconnect(inuse_connections=False)
        await self._redis.ping()

    def _session(self, values: list[bytes]) -> Session:
        try:
            return Session([self._decoder.decode(value) for value in values])
        except msgspec.MsgspecError:
            raise SessionUnreadableError("redis: the value of a key is not a session") from None


def _client_options() -> dict[str, Any]:
    return {
        "socket_timeout": _TIMEOUT,
        "socket_connect_timeout": _TIMEOUT,
        **CLIENT_OPTIONS,
    }


class RedisClusterStore(RedisStore):
    """Live sessions in a cluster; see `SessionStore`."""

    usage: ClassVar[str] = "redis+cluster://HOST:PORT"

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`; a script, since transactions of the client need an own event loop."""
        name, limits = _PREFIX + key, self._limits
        values = await self._call(
            lambda: self._redis.eval(
                _APPEND, 1, name, self._encoder.encode(click), -limits.clicks,
                int(limits.seconds * 1000),
            ),
            name,
        )  # fmt: skip
        return self._session(values)

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """See `SessionStore`; in one round trip for each key."""
        return [await self.get(key) for key in keys]

    @staticmethod
    def _client(url: str) -> Any:
        return RedisCluster.from_url(
            url.replace("+cluster", "", 1),
            **_client_options(),
            # once more for a key that another node has now
            retry=Retry(NoBackoff(), 1),
            require_full_coverage=False,
        )

    def _node(self, key: str) -> str:
        try:
            return str(self._redis.get_node_from_key(key).name)
        except (RedisClusterException, AttributeError):  # before the first command
            return _NODE

    async def _ping(self, node: str) -> None:
        await self._redis.nodes_manager.initialize()  # another node may have its keys now
        known = self._redis.get_node(node_name=node)
        if known is not None:
            await self._redis.ping(target_nodes=known)
