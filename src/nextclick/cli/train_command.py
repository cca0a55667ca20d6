"""`nextclick train`: a model from a store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, StorePath, print_json, show, table
from nextclick.cli.parsing import parse_values
from nextclick.cli.progress import progress_bar
from nextclick.errors import ConfigError
from nextclick.experiments.comparison_options import TrainOn
from nextclick.experiments.order_of_time import describe_order
from nextclick.experiments.recipe import Recipe, read_recipe
from nextclick.models.model_registry import model_names
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from nextclick.artifact import Artifact


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model is trained, with which parameters."""

    model: Annotated[str | None, Field(description=f"one of {', '.join(model_names())}")] = None
    recipe: Annotated[
        Path | None,
        Field(
            description="TOML file with model, preset, seed and parameters; other options "
            "override it"
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        Field(description="parameter as NAME=VALUE, repeatable; see `nextclick models`"),
    ] = None
    seed: Annotated[int | None, Field(ge=0, description="seed of all random numbers")] = None


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which sessions a model is trained on, and which it stores."""

    train_on: TrainOn = "all"
    refreshable: Annotated[
        bool,
        Field(
            description="store the training sessions in the artifact, which `refresh` needs for "
            "item-knn, markov and rules"
        ),
    ] = False


def train_command(
    store: StorePath,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="Folder of the artifact, or its address (s3://, gs://, az://)."
        ),
    ],
    model: Annotated[
        TypedOptions[ModelOptions],
        OptionGroup(
            "Model",
            flags={"model": ("--model", "-m"), "settings": ("--set",)},
            defaults={"seed": "0"},
        ),
    ],
    data: Annotated[
        TypedOptions[DataOptions],
        OptionGroup("Data"),
    ],
    neural: Annotated[
        TypedOptions[NeuralOptions],
        OptionGroup(
            "Neural models and members",
            defaults={"checkpoints": "OUTPUT.training"},
            panels={"track": "Tracking"},
        ),
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model on a store and save it as an artifact.

    \b
        nextclick train store --model session-knn -o model
        nextclick train store --model item-knn --set shrinkage=50 --train-on inner -o model
        nextclick train store --model narm --set epochs=10 -o model
        nextclick train store --recipe recipes/narm-global.toml -o model
        nextclick train store --model blend --set members=session-knn,narm -o model
        torchrun --nproc-per-node 2 -m nextclick train store --model narm -o model

    A neural model is trained twice: the validation selects the number of epochs, then the model is
    retrained with the sessions of the validation; --train-on inner stops in between. It writes
    `OUTPUT.training/metrics.jsonl` and, during training, a checkpoint. After Ctrl-C, rerun the same
    command with --resume.

    A blend ranks the items that its members recommend. It trains its members, fits its weights on
    the validation, and retrains the members with all sessions before the test. A member may have a
    preset and parameters: members=session-knn@k=500,narm@global+epochs=5.
    """  # noqa: D301
    from nextclick.experiments.model_training import train

    recipe = _recipe(model.apply(), neural.values.get("preset"))
    options = TypedOptions(NeuralOptions, {**neural.values, "preset": recipe.preset}).apply()
    sessions = data.apply()
    with progress_bar() as progress:
        artifact = train(
            store,
            recipe.model,
            output,
            config=recipe.parameters,
            train_on=sessions.train_on,
            seed=recipe.seed or 0,
            neural=options,
            refreshable=sessions.refreshable,
            overwrite=overwrite,
            progress=progress,
        )
    trained = artifact.trained
    show(
        f"{output}: {recipe.model} trained on {trained['counts']['events']:,} clicks of "
        f"{trained['counts']['sessions']:,} sessions in {trained['seconds']:.2f} s"
    )
    if "chosen" in trained:
        chosen = ", ".join(f"{name}={value}" for name, value in trained["chosen"].items())
        show(f"chosen for this log: {chosen}")
    if "history" in trained:
        _show_epochs(artifact)
    if "blend" in trained:
        _show_blend(trained)
    if as_json:
        config = asdict(artifact.model.config)
        print_json(
            "train/1",
            {"path": str(output), "model": recipe.model, "config": config}
            | trained
            | {"training_seconds": trained["seconds"]},
        )


def _recipe(options: ModelOptions, preset: str | None) -> Recipe:
    """The recipe of a file, if there is one, overridden by the typed options."""
    values = parse_values(options.settings)
    if options.recipe is None:
        if options.model is None:
            raise ConfigError("train needs a model; name one with --model or --recipe")
        return Recipe(options.model, preset, options.seed, dict(values))
    read = read_recipe(options.recipe)
    if options.model not in (None, read.model):
        raise ConfigError(
            f"{options.recipe} is a recipe of {read.model}, got --model {options.model}; omit one"
        )
    return Recipe(
        read.model,
        read.preset if preset is None else preset,
        read.seed if options.seed is None else options.seed,
        read.parameters | values,
    )


def _show_blend(trained: dict[str, Any]) -> None:
    """The validation metrics of a blend and of its members."""
    own, members = trained["blend"]["validation"], trained["members"]
    if own is None:
        show("the validation is too small to measure the blend")
        return
    rows = [["blend", own], *([member["label"], member["validated"]] for member in members)]
    table(
        f"Validation, {trained['blend']['prefixes']:,} prefixes; the weights are cross-fitted",
        ["model", *own],
        [[label, *(f"{value:.4f}" for value in metrics.values())] for label, metrics in rows],
    )
    for member in members:
        if all(member["validated"][name] >= value for name, value in own.items()):
            show(
                f"the blend is no better than {member['label']} alone on the validation: train "
                "that model instead, or name other members"
            )


def _show_epochs(artifact: Artifact) -> None:
    trained = artifact.trained
    metric, value = trained["training"]["metric"], trained["validation"]
    sessions = trained["validation_sessions"]
    where = "the validation split"
    if sessions["ranked"] < sessions["all"]:
        where = f"a sample of {sessions['ranked']:,} of the {sessions['all']:,} validation sessions"
    validation = "" if value is None else f", {metric} {value:.4f} on {where}"
    show(
        f"epoch {trained['best_epoch']} of {trained['epochs']}{validation}; "
        f"{trained['samples_per_second']:,.0f} samples/s on {trained['device']} with "
        f"{trained['threads']} thread{'s' if trained['threads'] > 1 else ''}"
    )
    if trained["order"] is not None:
        show(f"the validation selects {describe_order(trained['order'])}")
