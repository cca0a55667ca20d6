"""`nextclick loadtest`: how fast a server answers at a rate that does not wait for it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.parsing import parse_list
from nextclick.core.config import build_config
from nextclick.core.storage import atomic_folder
from nextclick.errors import ConfigError
from nextclick.loadtest import (
    Curve,
    LoadConfig,
    Measured,
    Visit,
    Work,
    WorkConfig,
    from_store,
    load,
    open_server,
    simulated,
)
from nextclick.loadtest.saved import FIGURES, NUMBERS, need_matplotlib, save
from nextclick.training.interrupt import Interrupt

TOO_MANY_ERRORS = 3  # exit codes: docs/json.md
STOPPED = 2
_COLUMNS = [
    "requests/s",
    "achieved",
    "p50 ms",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
    "sent",
    "errors",
]


def loadtest_command(
    url: Annotated[str, typer.Argument(help="Address of the server: http://127.0.0.1:8000.")],
    rate: Annotated[
        str,
        typer.Option(
            "--rate", "--rates", help="Requests a second; several such as 100,200,500 give a curve."
        ),
    ] = "100",
    seconds: Annotated[float, typer.Option(help="Seconds that each rate is measured.")] = 10.0,
    warm_up: Annotated[
        float, typer.Option(help="Seconds at each rate before it is measured.")
    ] = 2.0,
    mode: Annotated[
        str,
        typer.Option(
            help="events: live sessions click by click; recommend: whole sessions up to a click; "
            "batch: many of those in one request."
        ),
    ] = "events",
    store: Annotated[
        Path | None,
        typer.Option(
            help="Store with the sessions to ask with. Without one they are simulated from the "
            "server's most clicked items.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[str, typer.Option(help="Its part: train, fit, valid or test.")] = "test",
    model: Annotated[
        str | None,
        typer.Option(help="Which of the served models.", show_default="the first one"),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Items asked for.")] = 20,
    batch_size: Annotated[int, typer.Option(help="Sessions in one request of --mode batch.")] = 16,
    think: Annotated[
        float,
        typer.Option(
            help="Seconds between the clicks of a live session; there are --rate × --think of them."
        ),
    ] = 1.0,
    arrivals: Annotated[
        str, typer.Option(help="poisson: at random, as visitors come; uniform: evenly.")
    ] = "poisson",
    seed: Annotated[int, typer.Option(help="The same seed gives the same arrivals.")] = 0,
    connections: Annotated[
        int, typer.Option(help="Connections that are kept open, one request at a time each.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Seconds from when a request was due until it has failed.")
    ] = 5.0,
    target_ms: Annotated[
        float, typer.Option(help="The 99th percentile that is wanted, in milliseconds.")
    ] = 10.0,
    max_errors: Annotated[
        int, typer.Option(min=0, help="Exit with 3 if more requests than this failed.")
    ] = 0,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the server's token. Without it the environment variable "
            "NEXTCLICK_TOKEN is read.",
            show_default=False,
        ),
    ] = None,
    token: Annotated[str, typer.Option(envvar="NEXTCLICK_TOKEN", hidden=True)] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the numbers and the figure.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask a server at fixed rates, and tell how long its answers took.

    Requests are sent when they are due, whether or not earlier ones have been answered, and latency
    is counted from when they were due: what waits because the server is slow is counted. Where this
    program itself was too slow, it says so. Run it on another machine than the server, or pin both
    to cores of their own. Ctrl-C ends it with what was measured; live sessions that it makes expire
    on the server like any others.

    \b
        nextclick loadtest http://127.0.0.1:8000 --rates 100,200,500,1000 --store store -o load
        nextclick loadtest http://127.0.0.1:8000 --mode recommend --rate 300 --seconds 60
    """  # noqa: D301
    config = build_config(
        LoadConfig,
        {
            "rates": _rates(rate),
            "seconds": seconds,
            "warm_up": warm_up,
            "arrivals": arrivals,
            "connections": connections,
            "timeout": timeout,
            "target_ms": target_ms,
            "seed": seed,
        },
        "loadtest",
    )
    asked = {"mode": mode, "k": k, "batch_size": batch_size, "think": think, "model": model}
    work_config = build_config(WorkConfig, asked, "loadtest")
    with ExitStack() as held:
        folder = None
        if output is not None:
            need_matplotlib()
            folder = held.enter_context(atomic_folder(output, overwrite=overwrite))
        server = open_server(url, _token(token_file) if token_file else token.strip() or None)
        visits: list[Visit] = (
            simulated(server, model=model, seed=seed)
            if store is None
            else from_store(store, part, seed=seed)
        )
        told, asked_to = held.enter_context(progress_bar()), held.enter_context(Interrupt())
        work = Work(visits, work_config, seed)
        curve = load(server, work, config, stop=lambda: asked_to.asked, progress=told)
        if folder is not None:
            save(curve, folder)
    _show(curve)
    if output is not None:
        say(f"{output}: {', '.join((NUMBERS, *FIGURES))}")
    if as_json:
        print_json(
            "loadtest/1", {"path": None if output is None else str(output), **curve.to_json()}
        )
    if curve.stopped:
        raise typer.Exit(STOPPED)
    if curve.failed > max_errors:
        say(f"error: {curve.failed:,} requests failed, more than --max-errors {max_errors:,}")
        raise typer.Exit(TOO_MANY_ERRORS)


def _rates(text: str) -> tuple[float, ...]:
    """Split `100,200.5`.

    Raises:
        ConfigError: a part is not a number.
    """
    try:
        return tuple(float(part) for part in parse_list(text))
    except ValueError:
        raise ConfigError(
            f"--rate takes requests a second such as 100 or 100,200,500, got {text!r}"
        ) from None


def _token(file: Path) -> str:
    """Read the token of a file.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--token-file {file} cannot be read: {error}; name the file that the server reads"
        ) from error
    if not token:
        raise ConfigError(f"--token-file {file} is empty; write the server's token into it")
    return token


def _show(curve: Curve) -> None:
    work, load_config = curve.work.config, curve.config
    table(
        f"{curve.url}, {work.mode}: latency from when a request was due, {load_config.arrivals} "
        "arrivals",
        _COLUMNS,
        [_row(one) for one in curve.rates],
    )
    for one in curve.rates:
        _tell(one)
    if curve.stopped:
        say("stopped; the figures are of what was measured until then")
    target = f"p99 below {load_config.target_ms:g} ms and no error"
    if curve.highest is None:
        say(f"no rate that was measured had {target}")
    else:
        say(f"highest rate with {target}: {curve.highest:,g} requests/s")


def _row(one: Measured) -> list[str]:
    at = one.latency_ms
    names = ("p50", "p90", "p95", "p99", "p99_9", "max")
    figures = [f"{at[name]:,.2f}" if at else "–" for name in names]
    late = " (late)" if one.generator_was_late else ""
    return [
        f"{one.rate:,g}{late}",
        f"{one.achieved:,.1f}",
        *figures,
        f"{one.sent:,}",
        f"{one.failed:,}",
    ]


def _tell(one: Measured) -> None:
    at = f"at {one.rate:,g} requests/s"
    for kind, count in one.errors.items():
        said = f" ({one.examples[kind]})" if kind in one.examples else ""
        say(f"{at}: {count:,} × {kind}{said}")
    if one.generator_was_late:
        say(
            f"{at} the generator itself was late (p99 {one.lag_ms['p99']:.1f} ms, with "
            f"{one.generator_share:.0%} of a processor): these figures are not the server's; run "
            "it on a machine or a core of its own, or lower the rate"
        )
    if one.waited:
        say(
            f"{at}: {one.waited:,} requests found all connections taken and waited, which is "
            "counted; with a server that could take more at once, raise --connections"
        )
    if one.degraded:
        say(f"{at}: {one.degraded:,} answers were given without the live session (degraded)")
