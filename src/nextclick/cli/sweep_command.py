"""`nextclick sweep`: one or two parameters against accuracy and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, StorePath, print_json, show, table
from nextclick.cli.parsing import parse_grid, parse_values
from nextclick.cli.progress import progress_bar
from nextclick.experiments.search_options import SweepOptions
from nextclick.models.model_registry import model_names

if TYPE_CHECKING:
    from nextclick.experiments.parameter_sweep import SweepResult


def sweep_command(
    store: StorePath,
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"One of {', '.join(model_names())}.")
    ],
    params: Annotated[
        list[str],
        typer.Option(
            "--param",
            help="A parameter and its values, as NAME=a,b,c. Given twice, all combinations of both "
            "are measured.",
        ),
    ],
    options: Annotated[
        TypedOptions[SweepOptions],
        OptionGroup(
            "Measurement",
            omit=("params", "fixed"),
            defaults={"train_on": "inner, or all with --part test"},
        ),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Fixed parameter as NAME=VALUE; repeatable.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the sweep.  [default: MODEL.sweep]"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure accuracy and cost over the values of one or two parameters.

    \b
        nextclick sweep store --model session-knn --param k=50,100,200,500 -o sweep
        nextclick sweep store --model lgsr --param walks=5,9,13,17 --param window=4,8 --seeds 3
        nextclick sweep store --model narm --param hidden_width=50,100,200 --set threads=1 -o narm

    Reports accuracy, training time and response time. The folder gets a plot with intervals,
    sweep.csv and sweep.json. After Ctrl-C, rerun the same command to resume; additional values or
    seeds train only what is missing. Needs the extra `report`.
    """  # noqa: D301
    from nextclick.experiments.parameter_sweep import sweep

    grid, fixed = parse_grid("--param", params), parse_values(settings)
    full = TypedOptions(SweepOptions, {**options.values, "params": grid, "fixed": fixed}).apply()
    folder = output or Path(f"{model}.sweep")
    with progress_bar() as progress:
        swept = sweep(store, model, folder, full, overwrite=overwrite, progress=progress)
    _show(swept)
    if as_json:
        print_json("sweep/1", {"path": str(folder), "sweep": swept.numbers})


def _show(swept: SweepResult) -> None:
    from nextclick.experiments.parameter_sweep import FIGURE, NUMBERS, TABLE

    numbers = swept.numbers
    rows = []
    for point in numbers["points"]:
        value = f"{100 * point['value']:.2f}"
        if point["low"] is not None:
            value += f" [{100 * point['low']:.2f}, {100 * point['high']:.2f}]"
        rows.append(
            [
                *map(str, point["parameters"].values()),
                value,
                _seconds(point["processor_seconds"]),
                _seconds(point["training_seconds"]),
                f"{point['response_ms']['mean']:.3f}",
            ]
        )
    split = {"valid": "validation", "test": "TEST"}[numbers["part"]]
    table(
        f"{numbers['model']}, {numbers['metric']} on the {split} split, in percent",
        [*numbers["params"], numbers["metric"], "processor s", "training s", "response ms (p50)"],
        rows,
    )
    show(f"{swept.path}: {FIGURE}.png, {TABLE}, {NUMBERS}")


def _seconds(over_seeds: dict[str, float] | None) -> str:
    return "–" if over_seeds is None else f"{over_seeds['mean']:.2f}"
