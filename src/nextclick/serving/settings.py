"""Server settings. The only module that reads environment variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_EXPORTED = "NEXTCLICK_SERVE"  # settings of the parent process, as JSON
_TOKEN = "NEXTCLICK_TOKEN"  # noqa: S105


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `nextclick serve`.

    Attributes:
        models: name of a model to the folder of an artifact or a registry; the first model is the
            default.
        workers: number of processes that share the port.
        state: session store: memory, lmdb:PATH or redis://….
        session_seconds: lifetime of a live session after its last click.
        session_clicks: number of latest clicks stored of a session.
        max_sessions: capacity of the memory store.
        state_megabytes: maximum size of an LMDB file.
        max_queue: queue length per worker; further requests are rejected with 503.
        max_batch: maximum number of requests in a batch.
        max_bytes: maximum size of a request body.
        timeout: seconds per request.
        shutdown_grace: seconds after SIGTERM in which requests are still accepted.
        rate: requests per second and client address; 0 is unlimited.
        burst: requests that a client may send at once.
        reload_interval: seconds between checks for new versions.
        titles: a CSV file with item titles.
        min_recall: recall of the top items of a large catalog; 1 is exact, below 1 a slow search
            becomes approximate.
        token: bearer token of routes that write; None disables authentication.
        cors_origins: origins that browsers may send requests from.
        trusted_proxies: addresses whose X-Forwarded-For header is trusted.
        log_requests: log a line for each request.
        log_ids: include session ids and client addresses in the log.
    """

    models: dict[str, str]
    workers: int = 1
    state: str = "memory"
    session_seconds: float = 1800.0
    session_clicks: int = 200
    max_sessions: int = 100_000
    state_megabytes: int = 1024
    max_queue: int = 256
    max_batch: int = 32
    max_bytes: int = 1 << 20
    timeout: float = 5.0
    shutdown_grace: float = 1.0
    rate: float = 0.0
    burst: int = 100
    reload_interval: float = 1.0
    titles: str | None = None
    min_recall: float = 1.0
    token: str | None = None
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: str = ""
    log_requests: bool = False
    log_ids: bool = False

    def checked(self) -> Settings:
        """Validate the settings, and return them.

        Raises:
            ConfigError: a setting is out of range, or two settings conflict.
        """
        minimum = {
            "workers": 1, "session_seconds": 1, "session_clicks": 1, "max_sessions": 1,
            "state_megabytes": 1, "max_queue": 1, "max_batch": 1, "max_bytes": 1024,
            "timeout": 0.01, "shutdown_grace": 0, "rate": 0, "burst": 1,
            "reload_interval": 0.05,
        }  # fmt: skip
        for name, bound in minimum.items():
            if not bound <= getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be at least {bound}, "
                    f"got {getattr(self, name)}"
                )
        if not 0.5 <= self.min_recall <= 1.0:
            raise ConfigError(
                f"--min-recall must be in 0.5..1, got {self.min_recall}; use 1 for exact search"
            )
        from nextclick.serving.sessions.session_store import find_backend  # imports msgspec

        if self.workers > 1 and not find_backend(self.state).shared:
            raise ConfigError(
                f"--workers {self.workers} cannot share --state {self.state}, which is private to "
                "a process; use --state lmdb:PATH on one machine, or redis://HOST:PORT"
            )
        return self


def read_token(file: Path | None) -> str | None:
    """Read the token from a file, or from the environment variable NEXTCLICK_TOKEN.

    Returns:
        The token; None if neither is given.

    Raises:
        ConfigError: the file cannot be read, or the token is too short.
    """
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--token-file {file}: cannot be read: {error}; name a readable text file"
            ) from error
    else:
        token = os.environ.get(_TOKEN, "").strip()
        if not token:
            return None
    if len(token) < 16:
        raise ConfigError(
            f"a token must have at least 16 characters, got {len(token)}; generate one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def hand_on(settings: Settings, metrics_folder: str | None) -> None:
    """Put the settings and the metrics folder into the environment of child processes."""
    os.environ[_EXPORTED] = msgspec.json.encode(settings).decode()
    if metrics_folder is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def handed_on() -> Settings:
    """The settings that the parent process exported."""
    return msgspec.json.decode(os.environ[_EXPORTED], type=Settings)


def shares_metrics() -> bool:
    """Whether several processes aggregate their metrics."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
