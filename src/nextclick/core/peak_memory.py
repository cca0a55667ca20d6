"""Peak memory of this process, over its lifetime or during a block of code."""

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

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5)
_earlier_peak: list[int] = []  # bytes, the highest peak before the last reset; empty if none


def peak_memory_bytes() -> int:
    """The peak resident set size of this process."""
    return max([_system_peak(), *_earlier_peak])


@contextmanager
def track_peak_memory() -> Iterator[list[int]]:
    """Yield a list that receives the peak resident set size, in bytes, of the block.

    The list stays empty if the operating system cannot reset its peak. The peak includes memory
    allocated before the block. Free memory is returned to the system before the block starts.
    """
    peak: list[int] = []
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    previous = _system_peak()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        was_reset = False
    else:
        was_reset = True
        _earlier_peak[:] = [max([previous, *_earlier_peak])]
    yield peak
    if was_reset:
        peak.append(_system_peak())


def _system_peak() -> int:
    """Bytes; `ru_maxrss` is in bytes on macOS and in KiB on Linux."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
