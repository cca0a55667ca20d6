"""The most memory that this process has held, over its life or over a piece of work."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5)
_before: list[int] = []  # peaks that the system was told to forget


def peak_memory_bytes() -> int:
    """The largest resident set that this process has had."""
    return max([_of_system(), *_before])


@contextmanager
def track_peak_memory() -> Iterator[list[int]]:
    """Yield a list that gets the largest resident set while the block ran.

    It stays empty where the system cannot be told to forget an earlier peak. What the process
    held before is part of it; memory that is free but not given back is given back first.
    """
    found: list[int] = []
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    so_far = _of_system()
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:
        forgot = False
    else:
        forgot = True
        _before[:] = [max([so_far, *_before])]
    yield found
    if forgot:
        found.append(_of_system())


def _of_system() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
