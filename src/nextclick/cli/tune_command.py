"""`nextclick tune`: a search of hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.item_rule_options import ITEM_RULES, ItemRuleOptions
from nextclick.cli.output import Json, Overwrite, StorePath, print_json, show, table
from nextclick.cli.parsing import parse_axis, parse_duration
from nextclick.cli.progress import progress_bar
from nextclick.experiments.search_options import TuneOptions
from nextclick.models.model_registry import model_names

if TYPE_CHECKING:
    from nextclick.experiments.tuning import TuningResult


@dataclass(frozen=True, slots=True)
class ParameterOptions:
    """Which parameters are fixed, and which values are tried."""

    settings: Annotated[
        list[str] | None,
        Field(
            description="NAME=VALUE fixes a parameter. NAME=a,b,c tries these values, in "
            "combination with those of other parameters, and nothing else. Repeatable."
        ),
    ] = None
    grid: Annotated[
        Path | None, Field(description="TOML file of such lists, each NAME = [a, b, c]")
    ] = None


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """Where the results of a study go."""

    output: Annotated[Path | None, Field(description="folder of the study")] = None
    save_recipe: Annotated[
        Path | None,
        Field(
            description="file that also gets the best recipe, with its validation metrics as "
            "comments"
        ),
    ] = None


def tune_command(
    store: StorePath,
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"One of {', '.join(model_names())}.")
    ],
    options: Annotated[
        TypedOptions[TuneOptions],
        OptionGroup(
            "Search",
            omit=("fixed", "grid", "rules"),
            defaults={"trials": "unlimited", "budget": "unlimited", "sessions": "all"},
            parse={"budget": parse_duration},
        ),
    ],
    parameters: Annotated[
        TypedOptions[ParameterOptions], OptionGroup("Parameters", flags={"settings": ("--set",)})
    ],
    items: Annotated[TypedOptions[ItemRuleOptions], ITEM_RULES],
    files: Annotated[
        TypedOptions[StudyFiles],
        OptionGroup(
            "Output",
            flags={"output": ("--output", "-o")},
            defaults={"output": "MODEL.study", "save_recipe": "none"},
        ),
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Search hyperparameters on the validation split; the test split is never used.

    \b
        nextclick tune store --model session-knn --budget 20m -o study
        nextclick tune store --model narm --trials 30 --set threads=1 -o study
        nextclick tune store --model item-knn --set shrinkage=0,20,50 --set alpha=0.5,0.75 -o study
        nextclick train store --recipe study/best.toml -o model

    The first trial is the preset. The folder gets the recipe best.toml, trials.csv, study.json, and
    plots of parameter importance and of the history. After Ctrl-C, rerun the same command to
    resume. Needs the extra `tune`.
    """  # noqa: D301
    from nextclick.experiments.parameter_grid import read_grid
    from nextclick.experiments.tuning import tune

    fixed: dict[str, Any] = {}
    typed = parameters.apply()
    axes: dict[str, Any] = {} if typed.grid is None else read_grid(typed.grid)
    for setting in typed.settings or ():
        name, choices = parse_axis("--set", setting)
        if len(choices) == 1:
            fixed[name] = choices[0]
        else:
            axes[name] = choices
    rules = items.apply().rules()
    values = {**options.values, "fixed": fixed, "grid": axes, "rules": rules}
    full = TypedOptions(TuneOptions, values).apply()
    written = files.apply()
    folder, recipe = written.output or Path(f"{model}.study"), written.save_recipe
    with progress_bar() as progress:
        tuned = tune(
            store, model, folder, full, recipe=recipe, overwrite=overwrite, progress=progress
        )
    _show(tuned, recipe or tuned.recipe)
    if as_json:
        print_json("tune/1", {"path": str(folder), "study": tuned.numbers})


def _show(tuned: TuningResult, recipe: Path) -> None:
    from nextclick.experiments.tuning import HISTORY, IMPORTANCE

    numbers = tuned.numbers
    best, states = numbers["best"], numbers["states"]
    value = numbers["preset_value"]
    preset = "no result" if value is None else f"{value:.4f}"
    rows = [[name, str(value)] for name, value in best["parameters"].items()]
    table(f"Best of {len(numbers['trials'])} trials", ["parameter", "value"], rows)
    show(
        f"{numbers['metric']} {best['value']:.4f} on the validation split (trial "
        f"{best['trial']}); the preset: {preset}. {states['complete']} complete, "
        f"{states['pruned']} stopped early, {states['failed']} failed, in "
        f"{numbers['search_seconds']:,.0f} s"
    )
    show(f"{recipe}: nextclick train STORE --recipe {recipe} -o MODEL")
    show(f"{tuned.path}: {IMPORTANCE}.png, {HISTORY}.png, trials.csv, study.json")
