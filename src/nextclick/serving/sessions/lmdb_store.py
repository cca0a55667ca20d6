"""Live sessions in an LMDB file, which the processes of one machine share.

A value is 8 bytes, the moment at which it expires, and the clicks. A write is a transaction of its
own, so that clicks of one session that two processes append are both kept. Nothing is synced for
each click: if the machine stops, the newest clicks may be lost, and the file stays whole.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import msgspec

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import Click, Session, StateLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.serving.sessions.session_store import Limits

_UNTIL = struct.Struct(">d")
_PER_SWEEP = 1000  # sessions that are looked at: less than a millisecond


class LMDBStore:
    """See `SessionStore`."""

    name = "lmdb"

    def __init__(self, path: str | Path, limits: Limits, clock: Callable[[], float] = time.time):
        self._limits = limits
        self._clock = clock
        self._swept = b""  # the last key that the sweep has looked at
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

    async def append(self, key: str, click: Click) -> Session:
        """See `SessionStore`."""
        name, now = key.encode(), self._clock()
        try:
            with self._env.begin(write=True) as change:
                clicks = [*self._read(change.get(name), now), click][-self._limits.clicks :]
                until = _UNTIL.pack(now + self._limits.seconds)
                change.put(name, until + self._encoder.encode(clicks))
        except lmdb.Error as error:
            raise StateLostError(f"lmdb: {error}") from error
        return Session(clicks)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        try:
            with self._env.begin() as view:
                clicks = self._read(view.get(key.encode()), self._clock())
        except lmdb.Error as error:
            raise StateLostError(f"lmdb: {error}") from error
        return Session(clicks) if clicks else None

    async def delete(self, key: str) -> bool:
        """See `SessionStore`."""
        try:
            with self._env.begin(write=True) as change:
                was_there = bool(self._read(change.get(key.encode()), self._clock()))
                change.delete(key.encode())
        except lmdb.Error as error:
            raise StateLostError(f"lmdb: {error}") from error
        return was_there

    async def sweep(self) -> int:
        """Look at the next thousand sessions."""
        now, gone, looked_at = self._clock(), [], 0
        try:
            with self._env.begin() as view, view.cursor() as cursor:
                found = cursor.set_range(self._swept) if self._swept else cursor.first()
                while found and looked_at < _PER_SWEEP:
                    self._swept = bytes(cursor.key())
                    if _UNTIL.unpack_from(cursor.value())[0] <= now:
                        gone.append(self._swept)
                    looked_at += 1
                    found = cursor.next()
            if not found:
                self._swept = b""  # from the beginning, next time
            if gone:
                self._remove(gone, now)
        except lmdb.Error as error:
            raise StateLostError(f"lmdb: {error}") from error
        return len(gone)

    async def ready(self) -> bool:
        """See `SessionStore`."""
        try:
            with self._env.begin() as view:
                view.get(b"-")
        except lmdb.Error:
            return False
        return True

    async def close(self) -> None:
        """See `SessionStore`."""
        self._env.close()

    def _remove(self, names: list[bytes], now: float) -> None:
        with self._env.begin(write=True) as change:
            for name in names:
                value = change.get(name)  # another process may have appended to it
                if value is not None and _UNTIL.unpack_from(value)[0] <= now:
                    change.delete(name)

    def _read(self, value: bytes | None, now: float) -> list[Click]:
        if value is None or _UNTIL.unpack_from(value)[0] <= now:
            return []
        return self._decoder.decode(memoryview(value)[_UNTIL.size :])
