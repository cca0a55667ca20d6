"""`nextclick simulate`: a believable log out of nothing."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say
from nextclick.cli.parsing import listing, parse_values
from nextclick.core.config import build_config, describe
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig


def simulate_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File: .csv, .csv.gz, .tsv, .tsv.gz or .parquet.")
    ],
    events: Annotated[int, typer.Option(min=1, help="Clicks in the log.")] = 1_000_000,
    items: Annotated[int, typer.Option(min=1, help="Size of the catalog.")] = 10_000,
    users: Annotated[int, typer.Option(min=1, help="Visitors.")] = 50_000,
    days: Annotated[int, typer.Option(min=1, help="Length of the log in days.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same file.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, any number of times; the names are above."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a simulated log of a believable shop.

    Users have tastes, sessions a purpose; dwell times tell interest; items are new, and wander in
    popularity from day to day. Every structure has a strength, and 0 switches it off.

    \b
        nextclick simulate -o clicks.csv
        nextclick simulate -o big.parquet --events 100000000 --items 500000 --users 5000000
        nextclick simulate -o silent.csv --set dwell_signal=0
    """  # noqa: D301
    values = {"events": events, "items": items, "users": users, "days": days, "seed": seed}
    config = build_config(SimulationConfig, values | parse_values(settings), "simulation")
    with progress_bar() as told:
        summary = simulate(config, output, overwrite=overwrite, progress=told)
    say(
        f"{summary.path}: {summary.events:,} clicks in {summary.sessions:,} sessions, "
        f"{summary.size:,} bytes"
    )
    if as_json:
        print_json("simulate/1", asdict(summary) | {"config": asdict(config)})


simulate_command.__doc__ = listing(
    simulate_command.__doc__,
    "Names for --set:",
    ((p.name, f"{p.description} ({p.kind}; {p.default})") for p in describe(SimulationConfig)),
)
