"""Live sessions in the memory of one process."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.serving.sessions.session_store import Click, StoreLimits


class MemoryStore:
    """See `SessionStore`; sessions are lost when the process stops."""

    name = "memory"

    def __init__(self, limits: StoreLimits, clock: Callable[[], float] = time.time):
        self._limits = limits
        self._clock = clock
        # expiry and clicks of each session, the least recently active first
        self._sessions: OrderedDict[str, tuple[float, list[Click]]] = OrderedDict()

    @classmethod
    def open(cls, url: str, limits: StoreLimits, clock: Callable[[], float]) -> Self:
        """See `SessionStore`."""
        if url != "memory":
            raise ConfigError(f"--state memory takes no address, got {url!r}; use --state memory")
        return cls(limits, clock)

    def __len__(self) -> int:
        return len(self._sessions)

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        clicks = [*self._live_clicks(key), click][-self._limits.clicks :]
        self._sessions[key] = (self._clock() + self._limits.seconds, clicks)
        self._sessions.move_to_end(key)
        while len(self._sessions) > self._limits.sessions:
            self._sessions.popitem(last=False)
        return Session(clicks)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        clicks = self._live_clicks(key)
        return Session(clicks) if clicks else None

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """See `SessionStore`."""
        return [await self.get(key) for key in keys]

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        existed = bool(self._live_clicks(key))
        self._sessions.pop(key, None)
        return existed

    async def sweep(self) -> int:
        """See `SessionStore`."""
        now, removed = self._clock(), 0
        while self._sessions and next(iter(self._sessions.values()))[0] <= now:
            self._sessions.popitem(last=False)
            removed += 1
        return removed

    async def check_write(self) -> None:
        """See `SessionStore`."""

    async def close(self) -> None:
        """See `SessionStore`."""

    def _live_clicks(self, key: str) -> list[Click]:
        expiry, clicks = self._sessions.get(key, (0.0, []))
        return clicks if expiry > self._clock() else []
