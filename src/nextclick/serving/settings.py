"""How a server is to run. The only module that reads the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_HANDED_ON = "NEXTCLICK_SERVE"  # settings for the processes that a server starts
_TOKEN = "NEXTCLICK_TOKEN"  # noqa: S105


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `nextclick serve` was told.

    Attributes:
        models: name of a model to the folder of an artifact or of a registry; the first one
            answers who names none.
        workers: processes that share the port.
        state: memory, lmdb:PATH or redis://….
        session_seconds: that a live session is kept after its last click.
        session_clicks: of a session that are kept.
        max_sessions: that memory holds.
        state_megabytes: that an LMDB file may grow to.
        max_queue: requests that may wait in a worker.
        max_batch: requests that are answered at once.
        max_bytes: of the body of a request.
        timeout: seconds for a request.
        drain: seconds in which a server that was told to stop still takes requests.
        rate: requests per second of a client's address, 0 for any number.
        burst: requests that a client may send at once.
        watch: seconds between two looks for new versions.
        titles: a CSV file with the titles of items.
        least_recall: of the best items of a large catalog; below 1 a slow search may miss some.
        token: who knows it may write; None for nobody's.
        origins: web pages that browsers let ask, none by default.
        trusted_proxies: addresses whose X-Forwarded-For is believed.
        log_requests: write a line for each request.
        log_ids: with the ids of sessions, and addresses.
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
    drain: float = 1.0
    rate: float = 0.0
    burst: int = 100
    watch: float = 1.0
    titles: str | None = None
    least_recall: float = 1.0
    token: str | None = None
    origins: tuple[str, ...] = ()
    trusted_proxies: str = ""
    log_requests: bool = False
    log_ids: bool = False

    def checked(self) -> Settings:
        """These settings.

        Raises:
            ConfigError: one is out of its range, or two do not go together.
        """
        least = {
            "workers": 1, "session_seconds": 1, "session_clicks": 1, "max_sessions": 1,
            "state_megabytes": 1, "max_queue": 1, "max_batch": 1, "max_bytes": 1024,
            "timeout": 0.01, "drain": 0, "rate": 0, "burst": 1, "watch": 0.05,
        }  # fmt: skip
        for name, bound in least.items():
            if not bound <= getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be at least {bound}, "
                    f"got {getattr(self, name)}"
                )
        if not 0.5 <= self.least_recall <= 1.0:
            raise ConfigError(
                f"--least-recall must be from 0.5 to 1, got {self.least_recall}; 1 is exact"
            )
        if self.workers > 1 and self.state == "memory":
            raise ConfigError(
                f"--workers {self.workers} cannot share --state memory: a click would be known to "
                "one process only; use --state lmdb:PATH on one machine, or redis://HOST:PORT"
            )
        return self


def read_token(file: Path | None) -> str | None:
    """The token of a file, or of the environment variable NEXTCLICK_TOKEN, or None.

    Raises:
        ConfigError: the file cannot be read, or the token is short.
    """
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"--token-file {file}: cannot be read: {error}") from error
    else:
        token = os.environ.get(_TOKEN, "").strip()
        if not token:
            return None
    if len(token) < 16:
        raise ConfigError(
            f"a token must have at least 16 letters, got {len(token)}; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def hand_on(settings: Settings, folder: str | None) -> None:
    """Leave settings for the processes that are started from here, and the folder of metrics."""
    os.environ[_HANDED_ON] = msgspec.json.encode(settings).decode()
    if folder is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def handed_on() -> Settings:
    """What `hand_on` left."""
    return msgspec.json.decode(os.environ[_HANDED_ON], type=Settings)


def shares_metrics() -> bool:
    """Whether several processes add to the same metrics."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
