"""Live sessions: what a visitor has clicked so far, for some minutes.

One interface, three places: memory of this process, an LMDB file that the processes of one machine
share, and Redis, which several machines share. A session keeps its latest clicks only, and is gone
when nothing was added to it for its time to live.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import RawId


class Click(msgspec.Struct, frozen=True, array_like=True):
    """One click.

    Attributes:
        item: raw id.
        time: seconds since 1970, or of the client's clock if it told its own.
        user: who clicked, or None.
    """

    item: int | str
    time: float
    user: int | str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of a visitor.

    Attributes:
        clicks: the latest ones, the last click last.
    """

    clicks: Sequence[Click]

    @property
    def items(self) -> list[RawId]:
        """Raw ids in the order of the clicks."""
        return [click.item for click in self.clicks]

    @property
    def times(self) -> list[float]:
        """Seconds of each click; one that came late counts as made with the one before it."""
        found: list[float] = []
        for click in self.clicks:
            found.append(max(click.time, found[-1]) if found else click.time)
        return found

    @property
    def user(self) -> RawId | None:
        """The last one named."""
        return next((c.user for c in reversed(self.clicks) if c.user is not None), None)


class StateLostError(Exception):
    """Live sessions cannot be reached now; requests are answered without them."""


class SessionStore(Protocol):
    """Where live sessions are. Every call may raise StateLostError.

    Attributes:
        name: of the kind, for people.
    """

    name: str

    async def append(self, key: str, click: Click) -> Session:
        """Add a click, atomically, and return the session with it."""
        ...

    async def get(self, key: str) -> Session | None:
        """The session, None if there is none or it has expired."""
        ...

    async def delete(self, key: str) -> bool:
        """Forget a session; whether there was one."""
        ...

    async def sweep(self) -> int:
        """Remove what has expired, a bounded number; how many were removed."""
        ...

    async def ready(self) -> bool:
        """Whether it answers."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much is kept.

    Attributes:
        seconds: that a session lives after its last click.
        clicks: of a session that are kept, the latest ones.
        sessions: that memory holds; the one that was longest without a click goes first.
        megabytes: that an LMDB file may grow to.
    """

    seconds: float = 1800.0
    clicks: int = 200
    sessions: int = 100_000
    megabytes: int = 1024


def open_store(where: str, limits: Limits, clock: Callable[[], float] = time.time) -> SessionStore:
    """Open `memory`, `lmdb:PATH` or `redis://HOST…`.

    Raises:
        ConfigError: another kind, or its library is not installed.
    """
    kind, _, rest = where.partition(":")
    if where == "memory":
        return MemoryStore(limits, clock)
    try:
        if kind == "lmdb" and rest:
            from nextclick.serving.sessions.lmdb_store import LMDBStore

            return LMDBStore(rest, limits, clock)
        if kind in ("redis", "rediss", "unix"):
            from nextclick.serving.sessions.redis_store import RedisStore

            return RedisStore(where, limits)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--state {kind}: needs the package {error.name}, which is not installed; "
            f"pip install 'nextclick[{'redis' if kind != 'lmdb' else 'serve'}]'"
        ) from None
    raise ConfigError(f"--state must be memory, lmdb:PATH or redis://HOST:PORT, got {where!r}")


class MemoryStore:
    """In this process, lost with it."""

    name = "memory"

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time):
        self._limits = limits
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, list[Click]]] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        return len(self._held)

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        clicks = [*self._alive(key), click][-self._limits.clicks :]
        self._held[key] = (self._clock() + self._limits.seconds, clicks)
        self._held.move_to_end(key)
        while len(self._held) > self._limits.sessions:
            self._held.popitem(last=False)
        return Session(clicks)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        clicks = self._alive(key)
        return Session(clicks) if clicks else None

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        was_there = bool(self._alive(key))
        self._held.pop(key, None)
        return was_there

    async def sweep(self) -> int:
        """See `SessionStore`."""
        now, removed = self._clock(), 0
        while self._held and next(iter(self._held.values()))[0] <= now:
            self._held.popitem(last=False)
            removed += 1
        return removed

    async def ready(self) -> bool:
        """See `SessionStore`."""
        return True

    async def close(self) -> None:
        """See `SessionStore`."""

    def _alive(self, key: str) -> list[Click]:
        until, clicks = self._held.get(key, (0.0, []))
        return clicks if until > self._clock() else []
