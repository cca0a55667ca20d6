"""The free memory of this machine or container."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Free bytes of the machine, or of the container if it has fewer; None if unknown."""
    known = [free for free in (_machine_free(), _container_free()) if free is not None]
    return min(known, default=None)


def _machine_free() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    if "SC_PHYS_PAGES" in os.sysconf_names:  # total memory, where free memory is unknown
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container_free() -> int | None:
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return limit - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
