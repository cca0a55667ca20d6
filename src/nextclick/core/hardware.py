"""Processor and its cores, and parallel execution of compiled kernels over blocks of rows."""

from __future__ import annotations

import os
import platform
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nextclick.core.processes import current
from nextclick.core.types import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
_CPU_INFO = Path("/proc/cpuinfo")


def cpus() -> int:
    """The number of processors available to this process, a share of those of its machine."""
    available = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    return max(available // current().on_host, 1)


def machine() -> str:
    """Processor and number of available cores."""
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        model = None
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{name}, {cpus()} core{'s' if cpus() > 1 else ''}"


def map_blocks(
    work: Callable[[int, int], T],
    bounds: Sequence[int],
    *,
    stage: str = "",
    progress: Progress = silent,
) -> list[T]:
    """Return `work(start, stop)` for each pair of consecutive `bounds`, in order.

    The blocks run in threads, so `work` should spend its time in kernels that release the
    interpreter lock (`nogil=True`). Threads are used instead of numba's `prange` because several
    request threads may call this function at once, also after a fork. A single block, such as one
    request, runs in the calling thread without the cost of starting another.
    """
    pairs = list(pairwise(bounds))
    if len(pairs) <= 1 or cpus() == 1:
        return list(
            _told((work(start, stop) for start, stop in pairs), len(pairs), stage, progress)
        )
    with ThreadPoolExecutor(max_workers=min(cpus(), len(pairs))) as pool:
        results = pool.map(lambda pair: work(*pair), pairs)
        return list(_told(results, len(pairs), stage, progress))


def _told(results: Iterable[T], total: int, stage: str, progress: Progress) -> Iterator[T]:
    for done, result in enumerate(results, start=1):
        progress(stage, done, total)
        yield result
