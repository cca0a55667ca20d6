"""Limits of memory, and failures that they cause inside native libraries."""

from __future__ import annotations

import os
import sys

from nextclick.errors import ConfigError

_BASE_MB = 1250
_MB_PER_CPU = 128  # stacks and arenas of the threads of each library
_MAX_CPUS = 16  # a higher demand would refuse machines with many processors that have enough
_THREAD_FAILURE = "can't start new thread"


def check_memory_limit() -> None:
    """Check that the address space has room for the libraries.

    With less, compiled libraries abort the process, or wait forever for a thread that did not
    start. Neither can be caught.

    Raises:
        ConfigError: the limit is too low.
    """
    if sys.platform == "win32":
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    needed = _BASE_MB + _MB_PER_CPU * min(os.cpu_count() or 1, _MAX_CPUS)
    if limit != resource.RLIM_INFINITY and limit < needed << 20:
        raise ConfigError(
            f"the address space of this process is limited to {limit >> 20} MB, and the libraries "
            f"need {needed} MB on this machine; raise the limit with `ulimit -v {needed << 10}`, "
            "or limit the memory of a container instead"
        )


def resource_failure(error: BaseException) -> str | None:
    """The message for an error of missing memory or threads; None for any other error."""
    if isinstance(error, MemoryError):
        reason = "the memory is exhausted"
    elif type(error).__name__ == "PanicException":  # of a library in Rust; not an `Exception`
        reason = f"a compiled library failed: {str(error).partition(chr(10))[0]}"
    elif isinstance(error, RuntimeError) and _THREAD_FAILURE in str(error):
        reason = "no thread can be started"
    else:
        return None
    return (
        f"{reason}; raise the limits of memory and threads (`ulimit -a`, or those of the "
        "container), or give less data"
    )
