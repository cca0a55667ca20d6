"""The settings of a server. The only module that reads the environment."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from nextclick.core.config import build_config
from nextclick.errors import ConfigError
from nextclick.serving.access import is_loopback
from nextclick.serving.traffic_split import TrafficSplit

_HANDED_ON = "NEXTCLICK_SERVE"  # settings for the processes that a server starts
_TOKEN = "NEXTCLICK_TOKEN"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server.

    Attributes:
        models: name of a model to the folder of an artifact or a registry; the first model is the
            default.
        token: required for live sessions and for activating versions. Without one, live sessions
            are open to everybody who reaches the port, and activation is disabled.
        host: the address that the server listens on.
    """

    models: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    workers: Annotated[
        int,
        Field(ge=1, description="processes that share the port, each with one scoring thread"),
    ] = 1
    state: Annotated[
        str,
        Field(
            description="storage of live sessions: memory (one process), lmdb:PATH (the processes "
            "of one machine), redis://HOST:PORT/0 or redis+cluster://HOST:PORT (several machines)"
        ),
    ] = "memory"
    session_seconds: Annotated[
        float,
        Field(
            ge=1,
            allow_inf_nan=False,
            description="seconds after its last click when a live session expires",
        ),
    ] = 1800.0
    session_clicks: Annotated[
        int, Field(ge=1, description="latest clicks stored per live session")
    ] = 200
    history_seconds: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="seconds after its last click when an earlier session of a visitor is "
            "forgotten; stored only for models that read earlier sessions; 0 stores none",
        ),
    ] = 30 * 86_400.0
    max_sessions: Annotated[
        int,
        Field(
            ge=1,
            description="capacity of --state memory, in live sessions; earlier sessions and their "
            "visitors have the same capacity",
        ),
    ] = 100_000
    state_megabytes: Annotated[
        int,
        Field(
            ge=1,
            description="maximum size of the --state lmdb file, in MB; that of earlier sessions "
            "has the same size",
        ),
    ] = 1024
    max_queue: Annotated[
        int,
        Field(
            ge=1,
            description="queue length per worker, in requests of ordinary cost; further requests "
            "are rejected with 503",
        ),
    ] = 256
    max_batch: Annotated[
        int,
        Field(
            ge=1,
            description="largest cost scored at once, in requests of ordinary cost; larger "
            "requests are computed in slices",
        ),
    ] = 32
    max_bytes: Annotated[
        int, Field(ge=1024, description="largest accepted request body, in bytes")
    ] = 1 << 20
    max_header_bytes: Annotated[
        int, Field(ge=1024, description="largest accepted request line and headers, in bytes")
    ] = 1 << 15
    header_timeout: Annotated[
        float,
        Field(
            ge=0.01,
            allow_inf_nan=False,
            description="time limit for the request line and headers, in seconds",
        ),
    ] = 5.0
    max_connections: Annotated[
        int,
        Field(
            ge=1,
            description="open connections per worker; for a further one, the connection that has "
            "been idle for the longest is closed",
        ),
    ] = 10_000
    timeout: Annotated[
        float,
        Field(ge=0.01, allow_inf_nan=False, description="time limit of a request, in seconds"),
    ] = 5.0
    shutdown_grace: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="seconds during which requests are still accepted after SIGTERM",
        ),
    ] = 1.0
    rate: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="requests of ordinary cost per second and client address; 0 is unlimited",
        ),
    ] = 0.0
    burst: Annotated[
        int, Field(ge=1, description="requests a client may send at once under --rate")
    ] = 100
    reload_interval: Annotated[
        float,
        Field(
            ge=0.05,
            allow_inf_nan=False,
            description="seconds between checks of a registry for a new version",
        ),
    ] = 1.0
    event_log: Annotated[
        str | None,
        Field(
            description="log of each click and the items shown, which `refresh --from` reads: a "
            "folder for Parquet files by the hour, a topic as kafka://HOST:PORT/TOPIC, or a stream "
            "as redis://HOST:PORT/0?stream=NAME; it contains ids of sessions and users"
        ),
    ] = None
    ab: Annotated[
        str | None,
        Field(
            description="versions of the first registry between which sessions are split, with "
            "their shares, such as v3=0.5,v4=0.5; `report online` compares them. Each version "
            "takes memory of its own"
        ),
    ] = None
    items: Annotated[
        str | None,
        Field(
            description="file with a row for each item: CSV, JSON lines or Parquet with the column "
            "item and any of title, image, price, url and category, for the web page, the catalog "
            "search, and requests with titles"
        ),
    ] = None
    min_recall: Annotated[
        float,
        Field(
            ge=0.5,
            le=1,
            description="minimum recall of the search in a large catalog, measured when a model "
            "is loaded; 1 is exact. Below 1, such as 0.99, a search that takes more than a "
            "millisecond may miss some of the best items; this needs nextclick[faiss]",
        ),
    ] = 1.0
    token: str | None = None
    insecure: Annotated[
        bool,
        Field(description="allow other machines to reach the server although it has no token"),
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(
            description="accepted names of the server in the Host header, such as "
            "shop.example or *.shop.example; addresses are always accepted. The default is "
            "localhost if the server listens on this machine only, otherwise every name"
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Field(description="web origins allowed by CORS, such as https://shop.example"),
    ] = ()
    trusted_proxies: Annotated[
        str,
        Field(
            description="proxy addresses whose X-Forwarded-For header is trusted, such as "
            "10.0.0.1,10.0.0.2"
        ),
    ] = ""
    ids_as_text: Annotated[
        bool,
        Field(
            description="answer with ids as JSON strings; JavaScript clients round integers above "
            "2^53"
        ),
    ] = False
    log_requests: Annotated[bool, Field(description="log one line per request, without ids")] = (
        False
    )
    log_ids: Annotated[
        bool, Field(description="include client addresses and session ids in the request log")
    ] = False

    def checked(self) -> Settings:
        """Return these settings.

        Raises:
            ConfigError: a value is out of its range, or two exclude each other.
        """
        build_config(Settings, asdict(self), "serve")
        if not (self.token or self.insecure or is_loopback(self.host)):
            raise ConfigError(
                f"--host {self.host} lets other machines reach the server, which has no token; "
                "give --token-file, or --insecure to leave live sessions open to them"
            )
        if self.ab is not None:
            TrafficSplit.parse(self.ab)
        from nextclick.serving.sessions.session_store import find_backend  # imports msgspec

        if self.workers > 1 and not find_backend(self.state).shared:
            raise ConfigError(
                f"--workers {self.workers} cannot share --state {self.state}, which is private to "
                "a process; use --state lmdb:PATH on one machine, or redis://HOST:PORT"
            )
        return self


def read_token(file: Path | None) -> str | None:
    """Return the token of a file, else of the environment variable NEXTCLICK_TOKEN, else None.

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


def hand_on(settings: Settings, folder: str | None) -> None:
    """Pass settings, and the folder of metrics, to worker processes through the environment."""
    import msgspec  # of the extra `serve`, which `serve --help` does not need

    os.environ[_HANDED_ON] = msgspec.json.encode(settings).decode()
    if folder is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def handed_on() -> Settings:
    """Return the settings that `hand_on` passed on."""
    import msgspec

    return msgspec.json.decode(os.environ[_HANDED_ON], type=Settings)


def shares_metrics() -> bool:
    """Whether several processes aggregate their metrics."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
