"""Live sessions in an LMDB file, shared by the processes of one machine.

A value consists of the expiry time (8 bytes) and the clicks. Each write is a transaction, so clicks
that two processes append to one session are both stored. Writes are not synced to disk: if the
machine stops, the latest clicks may be lost, but the file stays consistent.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import lmdb
import msgspec

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import Click, Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.serving.sessions.session_store import StoreLimits

_EXPIRY = struct.Struct(">d")
_SWEEP_SIZE = 1000  # sessions checked by one sweep, in less than a millisecond


class LMDBStore:
    """See `SessionStore`."""

    name = "lmdb"

    def __init__(
        self, path: str | Path, limits: StoreLimits, clock: Callable[[], float] = time.time
    ):
        self._limits = limits
        self._clock = clock
        self._last_swept = b""  # key of the last session that was checked
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Click])
        try:
            Path(path).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._env = lmdb.open(
                str(path), map_size=limits.megabytes << 20, sync=False, mode=0o600, max_readers=512
            )
        except (lmdb.Error, OSError) as error:
            raise ConfigError(
                f"--state lmdb:{path}: cannot be opened: {error}; name a folder that this user "
                "may write to"
            ) from error

    @classmethod
    def open(cls, url: str, limits: StoreLimits, clock: Callable[[], float]) -> Self:
        """See `SessionStore`."""
        path = url.partition(":")[2]
        if not path:
            raise ConfigError(f"--state {url} needs the path of a folder; write lmdb:PATH")
        return cls(path, limits, clock)

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        name, now = key.encode(), self._clock()
        try:
            with self._env.begin(write=True) as transaction:
                clicks = [*self._decode(transaction.get(name), now), click]
                clicks = clicks[-self._limits.clicks :]
                expiry = _EXPIRY.pack(now + self._limits.seconds)
                transaction.put(name, expiry + self._encoder.encode(clicks))
        except lmdb.Error as error:
            raise StoreUnavailableError(f"lmdb: {error}") from error
        return Session(clicks)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        try:
            with self._env.begin() as transaction:
                clicks = self._decode(transaction.get(key.encode()), self._clock())
        except lmdb.Error as error:
            raise StoreUnavailableError(f"lmdb: {error}") from error
        return Session(clicks) if clicks else None

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        try:
            with self._env.begin(write=True) as transaction:
                existed = bool(self._decode(transaction.get(key.encode()), self._clock()))
                transaction.delete(key.encode())
        except lmdb.Error as error:
            raise StoreUnavailableError(f"lmdb: {error}") from error
        return existed

    async def sweep(self) -> int:
        """See `SessionStore`; checks the next thousand sessions."""
        now, expired, checked = self._clock(), [], 0
        try:
            with self._env.begin() as transaction, transaction.cursor() as cursor:
                more = cursor.set_range(self._last_swept) if self._last_swept else cursor.first()
                while more and checked < _SWEEP_SIZE:
                    self._last_swept = bytes(cursor.key())
                    if _EXPIRY.unpack_from(cursor.value())[0] <= now:
                        expired.append(self._last_swept)
                    checked += 1
                    more = cursor.next()
            if not more:
                self._last_swept = b""  # the next sweep starts from the first key
            if expired:
                self._remove(expired, now)
        except lmdb.Error as error:
            raise StoreUnavailableError(f"lmdb: {error}") from error
        return len(expired)

    async def ready(self) -> bool:
        """See `SessionStore`."""
        try:
            with self._env.begin() as transaction:
                transaction.get(b"-")
        except lmdb.Error:
            return False
        return True

    async def close(self) -> None:
        """See `SessionStore`."""
        self._env.close()

    def _remove(self, names: list[bytes], now: float) -> None:
        with self._env.begin(write=True) as transaction:
            for name in names:
                value = transaction.get(name)  # another process may have appended a click
                if value is not None and _EXPIRY.unpack_from(value)[0] <= now:
                    transaction.delete(name)

    def _decode(self, value: bytes | None, now: float) -> list[Click]:
        if value is None or _EXPIRY.unpack_from(value)[0] <= now:
            return []
        return self._decoder.decode(memoryview(value)[_EXPIRY.size :])
