"""Failures of a client of Redis, described without the keys and values in its messages."""

from __future__ import annotations

import socket
import ssl

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)

from nextclick.serving.sessions.session_store import (
    SessionStoreError,
    SessionUnreadableError,
    StoreConfigError,
    StoreUnavailableError,
)

REDIS_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError)
# with protocol 3 the client fails on a pooled connection that the server closed
CLIENT_OPTIONS = {"protocol": 2}
# errors that last until the configuration changes
_CONFIG_ERRORS = (
    AuthenticationError, AuthorizationError, NoPermissionError, ReadOnlyError, ssl.SSLError,
)  # fmt: skip
_CONFIG_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "READONLY"})
_CODES = _CONFIG_CODES | {
    "BUSY", "CLUSTERDOWN", "ERR", "EXECABORT", "LOADING", "MASTERDOWN", "MISCONF", "MOVED",
    "NOREPLICAS", "OOM", "TRYAGAIN", "WRONGTYPE",
}  # fmt: skip


def store_failure(error: Exception) -> SessionStoreError:
    """The error to report, without keys and values."""
    code, cause = _code(error), _config_error(error)
    shown = f"redis: {type(error).__name__}" + (f" {code}" if code else "")
    if code == "WRONGTYPE":
        return SessionUnreadableError(shown)
    if isinstance(cause, ssl.SSLError):
        return StoreConfigError(f"{shown}: TLS: {getattr(cause, 'reason', type(cause).__name__)}")
    if isinstance(cause, socket.gaierror):
        return StoreConfigError(f"{shown}: the host does not exist")
    if cause is not None or code in _CONFIG_CODES:
        return StoreConfigError(shown)
    return StoreUnavailableError(shown)


def _code(error: Exception) -> str | None:
    """The code that an error message of Redis begins with."""
    if not isinstance(error, RedisError):
        return None
    # the client library puts the command, which may contain any text, before the message
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    code = message.lstrip("(\"'").partition(" ")[0]
    return code if code in _CODES else None


def _config_error(error: BaseException | None) -> BaseException | None:
    """The error, or one of its causes, that lasts until the configuration changes."""
    while error is not None:
        if isinstance(error, _CONFIG_ERRORS):
            return error
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
            return error
        error = error.__cause__ or error.__context__
    return None
