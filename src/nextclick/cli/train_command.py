"""`nextclick train` and `nextclick models`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.artifact import Artifact
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.parsing import parse_list, parse_values
from nextclick.core.config import Parameter, describe
from nextclick.errors import ConfigError
from nextclick.experiments.model_training import train
from nextclick.experiments.recipe import Recipe, read_recipe
from nextclick.models.model_registry import model_class, model_names
from nextclick.training.training_config import NeuralOptions, TrainingConfig


def train_command(
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the artifact.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help=f"{', '.join(model_names())}.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="TOML file with model, preset, seed and parameters; options win."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, any number of times; see `nextclick models`."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Recipe of a neural model; see `nextclick models`.")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="train: all before the test. fit: without the validation. "
            "If not said, fit for neural models, which choose their epoch, and train for others."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of everything random.", show_default="0")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for neural models.")] = "auto",
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Folder for what resumes a run of a neural model [OUTPUT.training]."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    track: Annotated[
        str, typer.Option(help="tensorboard, mlflow or both, where they are installed.")
    ] = "",
    refreshable: Annotated[
        bool,
        typer.Option(
            "--refreshable",
            help="Keep the sessions in the artifact where `refresh` needs them (item-knn, markov, "
            "rules).",
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model and keep it as an artifact.

    \b
        nextclick train store --model session-knn -o model
        nextclick train store --model item-knn --set shrinkage=50 --part fit -o model
        nextclick train store --model narm --set epochs=10 -o model
        nextclick train store --recipe recipes/narm-quick.toml -o model

    A neural model leaves `OUTPUT.training/metrics.jsonl` beside the artifact, and while it trains
    a checkpoint there: Ctrl-C stops it, and the same command with --resume goes on.
    """  # noqa: D301
    asked = _asked(recipe, model, preset, seed, parse_values(settings))
    options = NeuralOptions(asked.preset, device, checkpoints, resume, tuple(parse_list(track)))
    with progress_bar() as told:
        artifact = train(
            store,
            asked.model,
            output,
            config=asked.parameters,
            part=part,
            seed=asked.seed or 0,
            neural=options,
            refreshable=refreshable,
            overwrite=overwrite,
            progress=told,
        )
    trained = artifact.trained
    say(
        f"{output}: {asked.model} trained on {trained['counts']['events']:,} clicks of "
        f"{trained['counts']['sessions']:,} sessions in {trained['seconds']:.2f} s"
    )
    if "history" in trained:
        _say_epochs(artifact)
    if as_json:
        config = asdict(artifact.model.config)
        print_json(
            "train/1",
            {"path": str(output), "model": asked.model, "config": config}
            | trained
            | {"training_seconds": trained["seconds"]},
        )


def _asked(
    path: Path | None,
    model: str | None,
    preset: str | None,
    seed: int | None,
    values: dict[str, str],
) -> Recipe:
    """The recipe of a file, if there is one, under what the command line says."""
    if path is None:
        if model is None:
            raise ConfigError("what is to be trained? name it with --model or --recipe")
        return Recipe(model, preset, seed, dict(values))
    read = read_recipe(path)
    if model not in (None, read.model):
        raise ConfigError(f"{path} is a recipe of {read.model}, got --model {model}; leave one out")
    return Recipe(
        read.model,
        read.preset if preset is None else preset,
        read.seed if seed is None else seed,
        read.parameters | values,
    )


def _say_epochs(artifact: Artifact) -> None:
    trained = artifact.trained
    metric = trained["training"]["metric"]
    validation = trained["validation"]
    told = "" if validation is None else f", {metric} {validation:.4f} on the validation"
    say(
        f"epoch {trained['best_epoch']} of {trained['epochs']}{told}; "
        f"{trained['samples_per_second']:,.0f} samples/s on {trained['device']} with "
        f"{trained['threads']} thread{'s' if trained['threads'] > 1 else ''}"
    )


def models_command(as_json: Json = False) -> None:
    """List the models, their presets and parameters."""
    listing: dict[str, Any] = {}
    neural = []
    for name in model_names():
        found = model_class(name)
        summary = (found.__doc__ or "").strip().splitlines()[0]
        parameters = describe(found.Config)
        listing[name] = {
            "summary": summary,
            "parameters": [asdict(p) for p in parameters],
            "presets": found.presets,
        }
        say(f"\n{name}: {summary}")
        _show_parameters("", parameters)
        for preset, values in found.presets.items():
            say(f"  --preset {preset}: {', '.join(f'{n}={v}' for n, v in values.items())}")
        if found.default_capabilities.neural:
            neural.append(name)
    training = describe(TrainingConfig)
    if neural:
        _show_parameters(f"\nhow {', '.join(neural)} are trained, also with --set", training)
    if as_json:
        told = [asdict(p) for p in training] if neural else []
        print_json("models/1", {"models": listing, "training": told})


def _show_parameters(title: str, parameters: list[Parameter]) -> None:
    rows = [[p.name, p.kind, str(p.default), p.description] for p in parameters]
    if rows:
        table(title, ["parameter", "values", "default", "meaning"], rows)
