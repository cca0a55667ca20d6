"""`nextclick serve`: answers requests from trained models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import say
from nextclick.errors import ConfigError


def serve_command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders that `train` made, or registries, as FOLDER or NAME=FOLDER. The first "
            "one answers who names no model.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(help="Processes that share the port, each with one scoring thread.")
    ] = 1,
    state: Annotated[
        str,
        typer.Option(
            help="Where live sessions are: memory (one process), lmdb:PATH (the processes of one "
            "machine), or redis://HOST:PORT/0 (several machines)."
        ),
    ] = "memory",
    session_seconds: Annotated[
        float, typer.Option(help="Forget a live session so long after its last click.")
    ] = 1800.0,
    session_clicks: Annotated[
        int, typer.Option(help="Latest clicks of a live session that are kept.")
    ] = 200,
    max_sessions: Annotated[
        int, typer.Option(help="Live sessions that --state memory holds.")
    ] = 100_000,
    state_megabytes: Annotated[
        int, typer.Option(help="Size that the file of --state lmdb may grow to.")
    ] = 1024,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token for live sessions and for activating versions. Without it "
            "the environment variable NEXTCLICK_TOKEN is read.",
            show_default=False,
        ),
    ] = None,
    max_queue: Annotated[
        int, typer.Option(help="Requests that may wait in a worker; more get 503 at once.")
    ] = 256,
    max_batch: Annotated[
        int, typer.Option(help="Waiting requests that are answered at once.")
    ] = 32,
    max_bytes: Annotated[int, typer.Option(help="Largest body of a request.")] = 1 << 20,
    timeout: Annotated[float, typer.Option(help="Seconds for a request.")] = 5.0,
    shutdown_grace: Annotated[
        float, typer.Option(help="Seconds for which requests are taken after SIGTERM.")
    ] = 1.0,
    rate: Annotated[
        float, typer.Option(help="Requests a second of one client address; 0 for any number.")
    ] = 0.0,
    burst: Annotated[int, typer.Option(help="Requests that --rate lets through at once.")] = 100,
    reload_interval: Annotated[
        float, typer.Option(help="Seconds between two looks for new versions.")
    ] = 1.0,
    titles: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns item and title: titles are searched, shown on the "
            "page, and told to requests that ask for them.",
            show_default=False,
        ),
    ] = None,
    min_recall: Annotated[
        float,
        typer.Option(
            help="Share of the best items that the search of a large catalog has to find, as "
            "tried when a model is loaded. Below 1, such as 0.99, a search that takes more than a "
            "millisecond may miss some to be faster."
        ),
    ] = 1.0,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web page whose scripts may ask, as https://shop.example; repeatable."),
    ] = None,
    trusted_proxies: Annotated[
        str,
        typer.Option(help="Addresses whose X-Forwarded-For is believed, as 10.0.0.1,10.0.0.2."),
    ] = "",
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Write a line for each request, without ids.")
    ] = False,
    log_ids: Annotated[
        bool, typer.Option("--log-ids", help="Write addresses and ids of sessions in it, too.")
    ] = False,
) -> None:
    """Answer requests for recommendations over HTTP until Ctrl-C or SIGTERM.

    \b
        nextclick serve model
        nextclick serve narm=models/narm knn=models/session-knn --port 8080
        nextclick serve registry --titles items.csv
        nextclick serve registry --workers 4 --state lmdb:/var/lib/nextclick
        curl localhost:8000/v1/recommend -d '{"session": [214536502], "k": 5}'
    """  # noqa: D301
    folders = named(models)
    try:
        from nextclick.serving.server import listen, serve
        from nextclick.serving.settings import Settings, read_token
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serve needs the package {error.name}, which is not installed; "
            "pip install 'nextclick[serve]'"
        ) from None
    settings = Settings(
        models=folders,
        workers=workers,
        state=state,
        session_seconds=session_seconds,
        session_clicks=session_clicks,
        max_sessions=max_sessions,
        state_megabytes=state_megabytes,
        max_queue=max_queue,
        max_batch=max_batch,
        max_bytes=max_bytes,
        timeout=timeout,
        shutdown_grace=shutdown_grace,
        rate=rate,
        burst=burst,
        reload_interval=reload_interval,
        titles=None if titles is None else str(titles),
        min_recall=min_recall,
        token=read_token(token_file),
        cors_origins=tuple(cors_origin or ()),
        trusted_proxies=trusted_proxies,
        log_requests=log_requests,
        log_ids=log_ids,
    ).checked()
    opened = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"serving {', '.join(folders)} on http://{shown}:{opened.getsockname()[1]} (see /docs)")
    serve(settings, opened)


def named(models: Sequence[str]) -> dict[str, str]:
    """`NAME=FOLDER` or a folder, which is called by its name; `artifact` by that of its parent.

    Raises:
        ConfigError: two have one name.
    """
    folders: dict[str, str] = {}
    for text in models:
        name, equals, folder = text.partition("=")
        if not equals:
            path = Path(text).resolve()
            name, folder = path.parent.name if path.name == "artifact" else path.name, text
        if not name or not folder or name in folders:
            raise ConfigError(f"{text}: every model needs a name of its own; write NAME=FOLDER")
        folders[name] = folder
    return folders
