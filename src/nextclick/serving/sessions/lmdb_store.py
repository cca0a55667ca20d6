"""Live sessions in an LMDB file, shared by the processes of one machine.

A value consists of the expiry time (8 bytes), the slot of its key (4 bytes) and the encrypted
clicks; see `session_vault`. Each write is a transaction, so clicks that two processes append to one
session are both stored. Writes are not synced to disk: if the machine stops, the latest clicks may
be lost, but the file stays consistent.

LMDB copies each page that it changes, so nothing can be deleted from a file without free pages. The
file is therefore larger than the configured size. Once it has grown beyond that size, clicks are
rejected until there are fewer sessions, and only deletions use the rest.
"""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import lmdb
import msgspec

from nextclick.errors import ConfigError
from nextclick.serving.sessions.session_store import (
    Click,
    Session,
    StoreConfigError,
    StoreUnavailableError,
)
from nextclick.serving.sessions.session_vault import SessionVault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextclick.serving.sessions.session_store import StoreLimits

_HEAD = struct.Struct(">dI")  # expiry time, slot of the key
_SLOT = struct.Struct(">I")
_DATABASES = (b"encrypted sessions", b"free slots", b"meta")
_NEXT_SLOT = b"next slot"  # the first slot that was never used
# 12 KB, more than most sessions: a file that is nearly full counts as full.
_PROBES = {b"write check %d" % n: bytes(1500) for n in range(8)}
_SWEEP_SIZE = 1000  # sessions checked by one sweep, in about a millisecond
_DELETIONS = 32  # sessions per transaction, which copies a few pages for each
# The part of the file that is left for deletions is an eighth of the rest, at least 1 MB.
_RESERVE = 8
_LOST_RIGHTS = (lmdb.ReadonlyError, PermissionError)


class LMDBStore:
    """See `SessionStore`."""

    name = "lmdb"

    def __init__(
        self, path: str | Path, limits: StoreLimits, clock: Callable[[], float] = time.time
    ):
        self._limits = limits
        self._clock = clock
        self._last_swept = b""  # name of the last session that was checked
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Click])
        try:
            Path(path).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._env = lmdb.open(
                str(path), map_size=limits.megabytes + max(1, limits.megabytes // _RESERVE) << 20,
                sync=False, mode=0o600, max_readers=512, max_dbs=3,
            )  # fmt: skip
            self._max_pages = (limits.megabytes << 20) // self._env.stat()["psize"]
            self._full_at: int | None = None  # number of sessions when the file was found full
            with self._env.begin() as transaction:
                keys = {bytes(key) for key in transaction.cursor().iternext(values=False)}
            if not keys <= set(_DATABASES):
                raise ConfigError(
                    f"--state lmdb:{path}: the file contains other data, or sessions of an earlier "
                    "version; remove the folder or name another one"
                )
            self._sessions, self._free_slots, self._meta = map(self._env.open_db, _DATABASES)
            with self._env.begin(write=True):  # excludes other processes
                self._vault = SessionVault(Path(path) / "keys")
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
        name, now = self._vault.name(key), self._clock()
        with self._growing_transaction() as transaction:
            value = transaction.get(name, db=self._sessions)
            before = self._decode(value, now)
            clicks = [*before, click][-self._limits.clicks :]
            slot = _slot(value) if value is not None else self._new_slot(transaction)
            if not before:
                self._vault.new_key(slot)  # no older value can be read with it
            head = _HEAD.pack(now + self._limits.seconds, slot)
            sealed = self._vault.encrypt(slot, self._encoder.encode(clicks))
            transaction.put(name, head + sealed, db=self._sessions)
        return Session(clicks)

    async def get(self, key: str) -> Session | None:
        """See `SessionStore`."""
        with self._transaction() as transaction:
            value = transaction.get(self._vault.name(key), db=self._sessions)
            clicks = self._decode(value, self._clock())
        return Session(clicks) if clicks else None

    async def get_many(self, keys: Sequence[str]) -> list[Session | None]:
        """See `SessionStore`; a page in the cache takes microseconds."""
        return [await self.get(key) for key in keys]

    async def delete(self, key: str) -> bool:
        """See `SessionStore`; neither this file nor a copy of it can be decrypted afterwards."""
        name = self._vault.name(key)
        with self._transaction(write=True) as transaction:
            value = transaction.get(name, db=self._sessions)
            existed = bool(self._decode(value, self._clock()))
            if value is not None:
                self._remove(transaction, name, value)
        return existed

    async def sweep(self) -> int:
        """See `SessionStore`; checks the next thousand sessions."""
        now, expired, checked = self._clock(), [], 0
        with self._transaction() as transaction, transaction.cursor(self._sessions) as cursor:
            more = cursor.set_range(self._last_swept) if self._last_swept else cursor.first()
            while more and checked < _SWEEP_SIZE:
                self._last_swept = bytes(cursor.key())
                if _is_expired(cursor.value(), now):
                    expired.append(self._last_swept)
                checked += 1
                more = cursor.next()
        if not more:
            self._last_swept = b""  # the next sweep starts from the first session
        for start in range(0, len(expired), _DELETIONS):
            with self._transaction(write=True) as transaction:
                for name in expired[start : start + _DELETIONS]:
                    value = transaction.get(name, db=self._sessions)
                    if value is not None and _is_expired(value, now):  # it may have a new click
                        self._remove(transaction, name, value)
        return len(expired)

    async def check_write(self) -> None:
        """See `SessionStore`."""
        with self._growing_transaction() as transaction:
            for probe, value in _PROBES.items():  # one value would need pages in a row
                transaction.put(probe, value, db=self._meta)
        with self._transaction(write=True) as transaction:
            for probe in _PROBES:
                transaction.delete(probe, db=self._meta)

    async def close(self) -> None:
        """See `SessionStore`."""
        self._env.close()
        self._vault.close()

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Any]:
        try:
            with self._env.begin(write=write) as transaction:
                yield transaction
        except _LOST_RIGHTS as error:
            raise StoreConfigError(f"lmdb: {type(error).__name__}: {error}") from error
        except (lmdb.Error, OSError) as error:
            raise StoreUnavailableError(f"lmdb: {type(error).__name__}: {error}") from error

    @contextmanager
    def _growing_transaction(self) -> Iterator[Any]:
        """A transaction that adds data, unless the file is full."""
        pages = self._env.info()["last_pgno"]
        with self._transaction(write=True) as transaction:
            n_sessions = transaction.stat(self._sessions)["entries"]
            if self._full_at is not None and n_sessions >= self._full_at:
                raise StoreUnavailableError(
                    f"lmdb: the file is full: --state-megabytes {self._limits.megabytes}"
                )
            yield transaction
        self._full_at = None
        if self._env.info()["last_pgno"] > max(pages, self._max_pages):
            self._full_at = n_sessions

    def _new_slot(self, transaction: Any) -> int:
        """A slot that no session uses."""
        with transaction.cursor(self._free_slots) as cursor:
            if cursor.first():
                (slot,) = _SLOT.unpack(cursor.key())
                cursor.delete()
                return int(slot)
        used = transaction.get(_NEXT_SLOT, db=self._meta)
        slot = 1 if used is None else _SLOT.unpack(used)[0]  # slot 0 is the secret of the vault
        transaction.put(_NEXT_SLOT, _SLOT.pack(slot + 1), db=self._meta)
        return int(slot)

    def _remove(self, transaction: Any, name: bytes, value: bytes) -> None:
        slot = _slot(value)
        self._vault.erase(slot)
        transaction.delete(name, db=self._sessions)
        transaction.put(_SLOT.pack(slot), b"", db=self._free_slots)

    def _decode(self, value: bytes | None, now: float) -> list[Click]:
        if value is None or _is_expired(value, now):
            return []
        clicks = self._vault.decrypt(_slot(value), value[_HEAD.size :])
        return [] if clicks is None else self._decoder.decode(clicks)


def _is_expired(value: bytes, now: float) -> bool:
    return bool(_HEAD.unpack_from(value)[0] <= now)


def _slot(value: bytes) -> int:
    return int(_HEAD.unpack_from(value)[1])
