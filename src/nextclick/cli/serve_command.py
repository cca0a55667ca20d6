"""`nextclick serve`: recommendations over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import say
from nextclick.core.locations import resolve_location
from nextclick.errors import ConfigError
from nextclick.serving.settings import Settings, read_token

_SESSIONS, _LIMITS, _ACCESS, _LOG = "Live sessions", "Limits", "Access", "Logs"
_PANELS = {
    **dict.fromkeys(
        (
            "state",
            "session_seconds",
            "session_clicks",
            "history_seconds",
            "max_sessions",
            "state_megabytes",
        ),
        _SESSIONS,
    ),
    **dict.fromkeys(
        (
            "max_queue",
            "max_batch",
            "max_bytes",
            "max_header_bytes",
            "header_timeout",
            "max_connections",
            "timeout",
            "rate",
            "burst",
        ),
        _LIMITS,
    ),
    **dict.fromkeys(("insecure", "allowed_hosts", "cors_origins", "trusted_proxies"), _ACCESS),
    **dict.fromkeys(("log_requests", "log_ids", "event_log"), _LOG),
}


def serve_command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Artifacts or registries, as FOLDER or NAME=FOLDER; a folder, or its address "
            "(s3://, gs://, az://). The first model is the default.",
        ),
    ],
    settings: Annotated[
        TypedOptions[Settings],
        OptionGroup(
            "Server",
            flags={"cors_origins": ("--cors-origin",), "items": ("--items", "--titles")},
            omit=("models", "host", "token"),
            panels=_PANELS,
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 listens on all interfaces and needs a token.",
            rich_help_panel="Server",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65_535,
            help="Port to listen on; 0 chooses a free one.",
            rich_help_panel="Server",
        ),
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token required for live sessions and for activating versions. "
            "[default: the environment variable NEXTCLICK_TOKEN]",
            show_default=False,
            rich_help_panel=_ACCESS,
        ),
    ] = None,
) -> None:
    """Serve recommendations over HTTP until Ctrl-C or SIGTERM.

    \b
        nextclick serve model
        nextclick serve narm=models/narm knn=models/session-knn --port 8080
        nextclick serve registry --items items.csv
        nextclick serve s3://bucket/registry --reload-interval 10
        nextclick serve registry --workers 4 --state lmdb:/var/lib/nextclick
        curl localhost:8000/v1/recommend -d '{"session": [214536502], "k": 5}'
    """  # noqa: D301
    folders = named_models(models)
    try:
        from nextclick.serving.events.event_sink import check_event_log
        from nextclick.serving.server import check_session_store, listen, serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serve needs the package {error.name}, which is not installed; "
            "pip install 'nextclick[serve]'"
        ) from None
    given = {"models": folders, "host": host, "token": read_token(token_file)}
    checked = TypedOptions(Settings, {**settings.values, **given}).apply().checked()
    check_session_store(checked)
    if checked.event_log is not None:
        check_event_log(checked.event_log)
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"serving {', '.join(folders)} on http://{shown}:{listener.getsockname()[1]} (see /docs)")
    serve(checked, listener)


def named_models(models: Sequence[str]) -> dict[str, str]:
    """Map a name to each folder: `NAME=FOLDER`, else the last part of the path.

    A folder called `artifact` is named after its parent.

    Raises:
        ConfigError: two models have the same name.
    """
    folders: dict[str, str] = {}
    for text in models:
        name, equals, folder = text.partition("=")
        if not equals:
            location = resolve_location(text)
            path = location.resolve() if isinstance(location, Path) else Path(location)
            name, folder = path.parent.name if path.name == "artifact" else path.name, text
        if not name or not folder or name in folders:
            raise ConfigError(f"{text}: each model needs a unique name; write NAME=FOLDER")
        folders[name] = folder
    return folders
