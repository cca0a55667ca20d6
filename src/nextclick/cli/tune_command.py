"""`nextclick tune`: parameters that validate well."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.parsing import parse_axis, parse_duration
from nextclick.experiments.parameter_grid import read_grid
from nextclick.experiments.search_plan import TuneOptions
from nextclick.experiments.tuning import HISTORY, IMPORTANCE, Tuned, tune
from nextclick.models.model_registry import model_names


def tune_command(
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    model: Annotated[str, typer.Option("--model", "-m", help=f"{', '.join(model_names())}.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the study [MODEL.study]."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for all trials, over all runs, such as 30m or 2h."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    metric: Annotated[str, typer.Option(help="recall@K, mrr@K or ndcg@K.")] = "recall@20",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE stays so; NAME=a,b,c tries each, with those of other names, and "
            "nothing else.",
        ),
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="TOML file of such lists, each NAME = [a, b, c].")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Recipe of a neural model to begin with.")
    ] = None,
    sessions: Annotated[
        int | None,
        typer.Option(min=1, help="Rank so many sessions of the validation, the same each time."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for neural models.")] = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Search parameters that validate well; the test is not looked at.

    \b
        nextclick tune store --model session-knn --budget 20m -o study
        nextclick tune store --model narm --trials 30 --set threads=1 -o study
        nextclick tune store --model item-knn --set shrinkage=0,20,50 --set alpha=0.5,0.75 -o study
        nextclick train store --recipe study/best.toml -o model

    The first trial is the preset. Ctrl-C keeps what was found, and the same command goes on. The
    folder gets best.toml, trials.csv, study.json, and figures of what mattered and how it went.
    Needs the extra `tune`.
    """  # noqa: D301
    fixed: dict[str, Any] = {}
    axes: dict[str, Any] = {} if grid is None else read_grid(grid)
    for setting in settings or ():
        name, values = parse_axis("--set", setting)
        if len(values) == 1:
            fixed[name] = values[0]
        else:
            axes[name] = values
    options = TuneOptions(
        metric=metric,
        preset=preset,
        fixed=fixed,
        grid=axes,
        trials=trials,
        budget=None if budget is None else parse_duration("--budget", budget),
        sessions=sessions,
        seed=seed,
        device=device,
    )
    place = output or Path(f"{model}.study")
    with progress_bar() as told:
        tuned = tune(store, model, place, options, overwrite=overwrite, progress=told)
    _show(tuned)
    if as_json:
        print_json("tune/1", {"path": str(place), "study": tuned.numbers})


def _show(tuned: Tuned) -> None:
    numbers = tuned.numbers
    best, states = numbers["best"], numbers["states"]
    first = "no figure" if numbers["default"] is None else f"{numbers['default']:.4f}"
    rows = [[name, str(value)] for name, value in best["parameters"].items()]
    table(f"Best of {len(numbers['trials'])} trials", ["parameter", "value"], rows)
    say(
        f"{numbers['metric']} {best['value']:.4f} on the validation (trial {best['trial']}); the "
        f"preset alone {first}. {states['complete']} complete, {states['pruned']} stopped early, "
        f"{states['failed']} failed, in {numbers['search_seconds']:,.0f} s"
    )
    say(f"{tuned.recipe}: nextclick train STORE --recipe {tuned.recipe} -o MODEL")
    say(f"{tuned.path}: {IMPORTANCE}.png, {HISTORY}.png, trials.csv, study.json")
