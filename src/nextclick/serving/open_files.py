"""The limit of open files of a server process."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger("nextclick.serving")
_OTHER_FILES = 128  # that a process opens besides connections: stores, models, logs


def allow_connections(n: int) -> int:
    """Raise the limit of open files of this process as far as n connections need it.

    Returns:
        n, or the smaller number of connections that the system allows.
    """
    if sys.platform == "win32":
        return n
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, min(n + _OTHER_FILES, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    allowed = max(1, min(n, limit - _OTHER_FILES))
    if allowed < n:
        log.warning(
            "--max-connections %d: the system allows %d open files; accepting %d connections; "
            "raise the limit with `ulimit -n`",
            n, limit, allowed,
        )  # fmt: skip
    return allowed
