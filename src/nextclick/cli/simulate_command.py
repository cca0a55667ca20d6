"""`nextclick simulate`: a simulated click log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, print_json, show
from nextclick.cli.progress import progress_bar
from nextclick.simulation.simulation_config import SimulationConfig

_SIZE = ("events", "items", "users", "days", "start", "categories", "length", "seed")


def simulate_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File: .csv, .csv.gz, .tsv, .tsv.gz or .parquet.")
    ],
    config: Annotated[
        TypedOptions[SimulationConfig],
        OptionGroup("Structures (0 turns one off)", panels=dict.fromkeys(_SIZE, "Size")),
    ],
    items_file: Annotated[
        Path | None,
        typer.Option(
            help="File of the item table, of the same formats: category, brand, price and title "
            "of each item of the shop, for `prepare --items`."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a simulated click log of a shop.

    Users have tastes, sessions have a purpose, dwell times signal interest, items are new, and
    popularity drifts from day to day. Each structure has a strength.

    \b
        nextclick simulate -o clicks.csv
        nextclick simulate -o big.parquet --events 100000000 --items 500000 --users 5000000
        nextclick simulate -o silent.csv --dwell-signal 0
        nextclick simulate -o clicks.csv --items-file items.csv
    """  # noqa: D301
    from nextclick.simulation.simulate import check_file, simulate, simulate_items

    simulation = config.apply()
    if items_file is not None:
        check_file(items_file, overwrite=overwrite)
    with progress_bar() as progress:
        summary = simulate(simulation, output, overwrite=overwrite, progress=progress)
    show(
        f"{summary.path}: {summary.events:,} clicks in {summary.sessions:,} sessions, "
        f"{summary.size:,} bytes"
    )
    if items_file is not None:
        n_items = simulate_items(simulation, items_file, overwrite=overwrite)
        show(f"{items_file}: {n_items:,} items")
    if as_json:
        print_json("simulate/1", asdict(summary) | {"config": asdict(simulation)})
