"""`nextclick train` and `nextclick models`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.values import parse_values
from nextclick.config import describe
from nextclick.models import MODELS, model_class
from nextclick.pipeline.train import train


def train_command(
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    model: Annotated[str, typer.Option("--model", "-m", help=f"{', '.join(MODELS)}.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the artefact.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, any number of times; see `nextclick models`."),
    ] = None,
    part: Annotated[
        str,
        typer.Option(help="train: all before the test. fit: without the validation, to choose."),
    ] = "train",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model and keep it as an artefact.

    \b
        nextclick train store --model session-knn -o model
        nextclick train store --model item-knn --set shrinkage=50 --part fit -o model
    """  # noqa: D301
    values = parse_values(settings)
    with progress_bar() as told:
        artifact = train(
            store,
            model,
            output,
            config=values,
            part=part,
            seed=seed,
            overwrite=overwrite,
            progress=told,
        )
    trained = artifact.trained
    say(
        f"{output}: {model} trained on {trained['counts']['events']:,} clicks of "
        f"{trained['counts']['sessions']:,} sessions in {trained['seconds']:.2f} s"
    )
    if as_json:
        config = asdict(artifact.model.config)
        print_json(
            "train/1",
            {"path": str(output), "model": model, "config": config}
            | trained
            | {"training_seconds": trained["seconds"]},
        )


def models_command(as_json: Json = False) -> None:
    """List the models and their parameters."""
    listing = {}
    for name in MODELS:
        found = model_class(name)
        summary = (found.__doc__ or "").strip().splitlines()[0]
        parameters = describe(found.Config)
        listing[name] = {"summary": summary, "parameters": [asdict(p) for p in parameters]}
        say(f"\n{name}: {summary}")
        rows = [[p.name, p.kind, str(p.default), p.description] for p in parameters]
        if rows:
            table("", ["parameter", "values", "default", "meaning"], rows)
    if as_json:
        print_json("models/1", {"models": listing})
