"""`nextclick compare`: models side by side, and a report."""

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.evaluate_command import Cutoffs, Last, Part, Ties, protocol_asked
from nextclick.cli.leaderboard_table import compared_figures, show_compared
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar
from nextclick.cli.parsing import parse_cutoffs, parse_list, parse_values
from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.experiments.comparison import CompareOptions, compare, compare_results
from nextclick.models.model_registry import BASELINES


def compare_command(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="A store, whose models are trained now; or result files to tabulate."),
    ],
    models: Annotated[
        str,
        typer.Option(
            "--models",
            "-m",
            help="Models, or all of them (all), presets (narm@global), parameters "
            "(asars@variant=time_cat+epochs=5) and recipe files (recipes/narm-quick.toml), "
            "artifacts (models/narm, with a slash); LABEL=... gives one a name.",
        ),
    ] = ",".join(BASELINES),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE for all models that have it, MODEL.NAME=VALUE or LABEL.NAME=VALUE.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each model that draws at random.")
    ] = 1,
    ks: Cutoffs = "5,10,20",
    part: Part = "test",
    learn: Annotated[
        str | None,
        typer.Option(
            help="What models learn from: train, all before the test; or fit, which leaves the "
            "validation out. Default: train, and fit for --part valid.",
            show_default=False,
        ),
    ] = None,
    ties: Ties = "worst",
    last_only: Last = False,
    prequential: Annotated[
        bool,
        typer.Option(
            "--prequential",
            help="Models that keep a graph of days (tasrec) take in each block before the next.",
        ),
    ] = False,
    sort_by: Annotated[
        str | None,
        typer.Option(
            help="The metric that is claimed about. Default: recall at the largest K.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Whom the best gains on, by prefix length. Default: the next in the table.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for neural models.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report and the models.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train models on a store, measure each, and say which is better beyond chance.

    \b
        nextclick compare store -o comparison
        nextclick compare store --models pop,session-knn,narm,asars@paper --seeds 3 -o comparison
        nextclick compare store --models recipes/narm-quick.toml,narm@global \\
            --set epochs=5 --set narm.hidden_width=50 -o comparison
        nextclick compare store --models session-knn,models/narm,models/lgsr --learn fit -o trained
        nextclick compare comparison/*/result.json other/result.json -o both

    The folder gets report.html, one file to read or to send; figures/ as PNG and SVG; tables as
    CSV; comparison.json; and NAME/artifact of every model.

    Ctrl-C keeps what was done, and the same command goes on, within a training too. More models or
    more seeds train what is new. A model that fails is named in the report, with the reason.

    One seed compares trained models: another seed might turn the order. With --seeds 3 or more
    methods are compared. The figures need the extra `report`.
    """  # noqa: D301
    if all(path.is_file() for path in inputs):
        compared = compare_results(
            inputs, output, metric=sort_by, against=against, overwrite=overwrite
        )
    elif len(inputs) == 1:
        opened = Store.open(inputs[0])
        options = CompareOptions(
            seeds=range(seeds),
            part=part,
            learn=learn,
            ks=parse_cutoffs(ks),
            metric=sort_by,
            against=against,
            settings=parse_values(settings),
            protocol=protocol_asked(opened, ties, last_only, None),
            prequential=prequential,
            device=device,
        )
        with progress_bar() as told:
            compared = compare(
                opened, parse_list(models), output, options, overwrite=overwrite, progress=told
            )
    else:
        raise ConfigError(
            "compare takes one store, or result files, got a mixture: "
            + ", ".join(map(str, inputs))
        )
    show_compared(compared)
    if as_json:
        place = None if compared.path is None else str(compared.path)
        print_json("compare/1", {"path": place} | compared_figures(compared))
