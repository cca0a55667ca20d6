"""Encryption of stored sessions with one key each, so that a deleted session cannot be read.

A database file keeps old versions of a value in unused pages, and backups copy them. Therefore
values are encrypted, and the keys are in a file of their own, where each is overwritten in place
when its session is deleted. Without its key no copy of a session can be read. Names of sessions are
hashed with a secret of the same file.

The cipher is ChaCha20-Poly1305 (RFC 8439).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
NAME_BYTES = 16
_NONCE_BYTES = 12
_ERASED = bytes(KEY_BYTES)


class SessionVault:
    """The keys in a file: slot 0 is the secret of the names, the others belong to one session each.

    Creating a vault and changing a slot need a lock over all processes that share the file.
    """

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._secret = self._read(0)
        if self._secret == _ERASED:
            self._secret = self.new_key(0)

    def name(self, session_id: str) -> bytes:
        """The stored name of a session."""
        return hashlib.blake2b(
            session_id.encode(), digest_size=NAME_BYTES, key=self._secret
        ).digest()

    def new_key(self, slot: int) -> bytes:
        """Write a random key to a slot."""
        key = os.urandom(KEY_BYTES)
        self._write(slot, key)
        return key

    def erase(self, slot: int) -> None:
        """Overwrite the key of a slot."""
        self._write(slot, _ERASED)

    def encrypt(self, slot: int, value: bytes) -> bytes:
        """Encrypt a value with the key of a slot."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + ChaCha20Poly1305(self._read(slot)).encrypt(nonce, value, None)

    def decrypt(self, slot: int, value: bytes) -> bytes | None:
        """Decrypt a value; None if its key is gone."""
        key = self._read(slot)
        if key == _ERASED:
            return None
        nonce, sealed = value[:_NONCE_BYTES], value[_NONCE_BYTES:]
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, sealed, None)
        except InvalidTag:
            return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self, slot: int) -> bytes:
        return os.pread(self._file, KEY_BYTES, slot * KEY_BYTES).ljust(KEY_BYTES, b"\0")

    def _write(self, slot: int, key: bytes) -> None:
        os.pwrite(self._file, key, slot * KEY_BYTES)
