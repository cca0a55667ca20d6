"""`nextclick sweep`: one or two parameters against accuracy and time."""

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.parsing import parse_axis, parse_values
from nextclick.errors import ConfigError
from nextclick.experiments.parameter_sweep import FIGURE, NUMBERS, TABLE, SweepOptions, Swept, sweep
from nextclick.models.model_registry import model_names


def sweep_command(
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    model: Annotated[str, typer.Option("--model", "-m", help=f"{', '.join(model_names())}.")],
    over: Annotated[str, typer.Option(help="NAME=a,b,c: a parameter and its values.")],
    second: Annotated[
        str | None,
        typer.Option("--and", help="NAME=a,b,c: another, in all combinations with the first."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the sweep [MODEL.sweep].")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each point.")] = 1,
    part: Annotated[
        str, typer.Option(help="valid, or test: figures that nothing may be chosen by.")
    ] = "valid",
    metric: Annotated[str, typer.Option(help="recall@K, mrr@K or ndcg@K.")] = "recall@20",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, any number of times.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Recipe of a neural model to begin with.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for neural models.")] = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show what a parameter gives and costs: accuracy, training time, time of an answer.

    \b
        nextclick sweep store --model session-knn --over k=50,100,200,500 -o sweep
        nextclick sweep store --model lgsr --over walks=5,9,13,17 --and window=4,8 --seeds 3 -o lgsr
        nextclick sweep store --model narm --over hidden_width=50,100,200 --set threads=1 -o narm

    The folder gets a figure with intervals, sweep.csv and sweep.json. Ctrl-C keeps what was
    trained, and the same command goes on; more values or seeds train what is new. Needs the extra
    `report`.
    """  # noqa: D301
    grid = dict([parse_axis("--over", over)])
    if second is not None:
        name, values = parse_axis("--and", second)
        if name in grid:
            raise ConfigError(f"--and takes another parameter than --over, got {name} in both")
        grid[name] = values
    options = SweepOptions(
        grid, metric, preset, parse_values(settings), seeds=seeds, part=part, device=device
    )
    place = output or Path(f"{model}.sweep")
    with progress_bar() as told:
        swept = sweep(store, model, place, options, overwrite=overwrite, progress=told)
    _show(swept)
    if as_json:
        print_json("sweep/1", {"path": str(place), "sweep": swept.numbers})


def _show(swept: Swept) -> None:
    numbers = swept.numbers
    rows = []
    for point in numbers["points"]:
        value = f"{100 * point['value']:.2f}"
        if point["low"] is not None:
            value += f" [{100 * point['low']:.2f}, {100 * point['high']:.2f}]"
        rows.append(
            [
                *(str(given) for given in point["parameters"].values()),
                value,
                f"{point['training_seconds']['mean']:.2f}",
                f"{point['scoring_ms']['mean']:.3f}",
            ]
        )
    where = {"valid": "validation", "test": "TEST"}[numbers["part"]]
    table(
        f"{numbers['model']}, {numbers['metric']} on the {where} part, percent",
        [*numbers["over"], numbers["metric"], "trained in s", "answer in ms (p50)"],
        rows,
    )
    say(f"{swept.path}: {FIGURE}.png, {TABLE}, {NUMBERS}")
