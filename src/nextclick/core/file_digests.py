"""Digests of files: computed when a folder is written, and checked when it is read.

The digest of a file is BLAKE2b with 16 bytes, as hexadecimal text. It reveals damage, such as a
flipped bit or a truncated copy. It is not a signature: whoever can write the folder can also write
its manifest.
"""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FileIdentity: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size, mtime_ns and ctime_ns of a file: they change when its content changes."""

MANIFEST = "manifest.json"
_SETTLED_NS = 2_000_000_000  # a later write changes the times of a file that is older than this
_MAX_VERIFIED = 4096
_verified: dict[FileIdentity, str] = {}


def list_files(folder: Path) -> list[str]:
    """The relative POSIX paths of all files below a folder, sorted; links are not followed."""
    return sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
    )


def digest_files(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Digest the files `names` of a folder, by default all files except its manifest."""
    chosen = [n for n in list_files(folder) if n != MANIFEST] if names is None else list(names)
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        digests = pool.map(lambda name: _digest(folder / name), chosen)
        return dict(zip(chosen, digests, strict=True))


def find_damage(folder: Path, digests: Mapping[str, str], *, remember: bool = False) -> str | None:
    """Compare files with their digests; return the first file that differs and why, or None.

    Args:
        folder: the folder of the files.
        digests: relative path to digest.
        remember: skip a file that this process has verified and whose identity is the same, and
            remember those that are verified now; for files that are opened many times.

    Raises:
        OSError: a file exists and cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda n: _damage(folder / n, digests[n], remember), digests)
        for name, damage in zip(digests, results, strict=True):
            if damage is not None:
                return f"{name} {damage}"
    return None


def identify(path: Path) -> FileIdentity:
    """The identity of a file.

    Raises:
        OSError: the file does not exist or cannot be read.
    """
    status = path.stat()
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def is_settled(identity: FileIdentity) -> bool:
    """Whether the next write to a file would change its times, given the clock's resolution."""
    return time.time_ns() - max(identity[3:]) > _SETTLED_NS


def _damage(path: Path, digest: str, remember: bool) -> str | None:
    try:
        identity = identify(path)
        if remember and _verified.get(identity) == digest:
            return None
        if _digest(path) != digest:
            return "is damaged: its content differs from its digest"
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "is missing"
    if remember and is_settled(identity):
        if len(_verified) >= _MAX_VERIFIED:
            _verified.clear()
        _verified[identity] = digest
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
