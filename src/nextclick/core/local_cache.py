"""The cache of local copies of folders in object storage, keyed by the digests of their manifests.

CACHE/
  stores/DIGEST/NAME/…       used as long as they exist
  artifacts/DIGEST/NAME/…    deleted a week after their last use, when another one is downloaded
  upload-…/                  a folder that is being written and uploaded
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nextclick.core.storage import raising_output_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNUSED_SECONDS = 7 * 86_400.0
_LOCK = ".lock"


def cache_folder() -> Path:
    """The folder of the local copies: NEXTCLICK_CACHE, else `~/.cache/nextclick`."""
    return Path(os.environ.get("NEXTCLICK_CACHE") or Path.home() / ".cache" / "nextclick")


def local_copy(kind: str, digest: str, url: str) -> Path:
    """The folder of the local copy of an address.

    Args:
        kind: "store" or "artifact".
        digest: that of the manifest.
        url: the address, which gives the folder its name.
    """
    name = url.rstrip("/").rpartition("/")[2]
    return cache_folder() / f"{kind}s" / digest / (name if name.strip(".") else kind)


@contextmanager
def copy_lock(copy: Path) -> Iterator[None]:
    """Hold the lock of a copy, so that several processes download it once.

    Raises:
        OutputError: the cache cannot be written.
    """
    with raising_output_errors(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(copy.parent / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def mark_used(copy: Path) -> None:
    """Record that a copy was used now."""
    with suppress(OSError):
        os.utime(copy.parent)


def remove_unused(copy: Path) -> None:
    """Delete the copies beside a new one that nobody has used for a week.

    A process that has opened a deleted copy still reads it: its arrays are mapped or in memory.
    """
    before = time.time() - _UNUSED_SECONDS
    for folder in copy.parent.parent.iterdir():
        with suppress(OSError):
            if folder != copy.parent and folder.stat().st_mtime < before:
                shutil.rmtree(folder)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder in the cache, which is deleted at the end of the block.

    Raises:
        OutputError: the cache cannot be written.
    """
    cache = cache_folder()
    with raising_output_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix="upload-") as name:
            yield Path(name)
