"""The interface of session stores, and the registry of backends.

A session store holds the latest clicks of each live session until the session has been inactive
for its time to live. To add a backend, write a class with the methods of `SessionStore` in a module
of its own, and add a line to `SESSION_STORES`. Another package registers its backend by an entry
point of the group `nextclick.session_stores` that refers to a `StoreBackend`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

import msgspec

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import RawId

ENTRY_POINTS = "nextclick.session_stores"


class Click(msgspec.Struct, frozen=True, array_like=True):
    """One click.

    Attributes:
        item: raw id.
        time: seconds since 1970, or on the client's clock if the request contains a time.
        user: the visitor's raw id, or None.
        starts: whether a session begins with it; see `visitor_history`.
    """

    item: int | str
    time: float
    user: int | str | None = None
    starts: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """The stored clicks of a live session.

    Attributes:
        clicks: in order of arrival, the last click last.
    """

    clicks: Sequence[Click]

    @property
    def items(self) -> list[RawId]:
        """Raw ids in click order."""
        return [click.item for click in self.clicks]

    @property
    def times(self) -> list[float]:
        """Seconds of each click; a time before that of the previous click is raised to it."""
        times: list[float] = []
        for click in self.clicks:
            times.append(max(click.time, times[-1]) if times else click.time)
        return times

    @property
    def user(self) -> RawId | None:
        """The user of the latest click that has one."""
        return next((c.user for c in reversed(self.clicks) if c.user is not None), None)


class SessionStoreError(Exception):
    """A session store failed; requests are answered without it.

    Messages contain neither keys nor values, because they are logged.
    """


class StoreUnavailableError(SessionStoreError):
    """The store does not respond, or has no room: it may recover."""


class StoreConfigError(SessionStoreError):
    """The store rejects every write because of the configuration: a password, a permission."""


class SessionUnreadableError(SessionStoreError):
    """One session cannot be used; the others can."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Retention of sessions.

    Attributes:
        seconds: lifetime of a session after its last click.
        clicks: number of latest clicks that are stored of a session.
        sessions: capacity of the memory backend; the least recently active session is evicted.
        megabytes: maximum size of an LMDB file.
    """

    seconds: float = 1800.0
    clicks: int = 200
    sessions: int = 100_000
    megabytes: int = 1024


class SessionStore(Protocol):
    """Stores live sessions. Every call may raise `SessionStoreError`.

    Attributes:
        name: of the backend.
    """

    name: str

    @classmethod
    def open(cls, url: str, limits: StoreLimits, clock: Callable[[], float]) -> SessionStore:
        """Open the store of a `--state` value.

        Raises:
            ConfigError: the value is malformed, or the store cannot be opened.
        """
        ...

    async def append(self, key: str, click: Click) -> Session:
        """Atomically append a click, and return the session including it."""
        ...

    async def get(self, key: str) -> Session | None:
        """The session; None if it does not exist or has expired."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """What `get` returns for each of several sessions."""
        ...

    async def delete(self, key: str) -> bool:
        """Delete a session; True if it existed."""
        ...

    async def sweep(self) -> int:
        """Remove a bounded number of expired sessions; returns how many."""
        ...

    async def check_write(self) -> None:
        """Write and remove a value that is no session."""
        ...

    async def close(self) -> None:
        """Release files and connections."""
        ...


@dataclass(frozen=True, slots=True)
class StoreBackend:
    """A kind of session store.

    Attributes:
        target: module and class, "package.module:Class"; imported when it is first used.
        usage: the form of its `--state` value.
        extra: the extra of nextclick that installs its library.
        shared: whether several processes share its sessions.
    """

    target: str
    usage: str
    extra: str = "serve"
    shared: bool = True

    def load(self) -> type[SessionStore]:
        """Import the class."""
        module, _, name = self.target.partition(":")
        store: type[SessionStore] = getattr(import_module(module), name)
        return store


_HERE = "nextclick.serving.sessions"
SESSION_STORES = {
    "memory": StoreBackend(f"{_HERE}.memory_store:MemoryStore", "memory", shared=False),
    "lmdb": StoreBackend(f"{_HERE}.lmdb_store:LMDBStore", "lmdb:PATH"),
    "redis": StoreBackend(f"{_HERE}.redis_store:RedisStore", "redis://HOST:PORT", "redis"),
    "rediss": StoreBackend(f"{_HERE}.redis_store:RedisStore", "rediss://HOST:PORT", "redis"),
    "redis+cluster": StoreBackend(
        f"{_HERE}.redis_store:RedisClusterStore", "redis+cluster://HOST:PORT", "redis"
    ),
    "rediss+cluster": StoreBackend(
        f"{_HERE}.redis_store:RedisClusterStore", "rediss+cluster://HOST:PORT", "redis"
    ),
    "unix": StoreBackend(f"{_HERE}.redis_store:RedisStore", "unix://PATH", "redis"),
}


def find_backend(url: str) -> StoreBackend:
    """The backend of a `--state` value.

    Raises:
        ConfigError: there is no backend of that name.
    """
    scheme = url.partition(":")[0]
    if scheme in SESSION_STORES:
        return SESSION_STORES[scheme]
    for entry_point in entry_points(group=ENTRY_POINTS, name=scheme):
        backend: StoreBackend = entry_point.load()
        return backend
    usages = ", ".join(backend.usage for backend in SESSION_STORES.values())
    raise ConfigError(
        f"--state must be one of {usages}, got {url!r}; choose one, or install the package of "
        "another backend"
    )


def history_url(url: str) -> str:
    """The address of the earlier sessions of visitors beside the live sessions of `url`.

    LMDB has a folder within the folder of the live sessions; other backends tell both apart by
    their keys.
    """
    return f"{url}/history" if url.startswith("lmdb:") and url != "lmdb:" else url


def open_store(
    url: str, limits: StoreLimits, clock: Callable[[], float] = time.time
) -> SessionStore:
    """Open the session store of a `--state` value.

    Raises:
        ConfigError: there is no such backend, its library is not installed, or it cannot be opened.
    """
    backend = find_backend(url)
    try:
        store = backend.load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--state {url.partition(':')[0]} needs the package {error.name}, which is not "
            f"installed; pip install 'nextclick[{backend.extra}]'"
        ) from None
    return store.open(url, limits, clock)
