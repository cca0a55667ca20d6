"""`nextclick compare`: several models under the same conditions, and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, print_json
from nextclick.cli.parsing import parse_cutoffs, parse_list, parse_values
from nextclick.cli.progress import progress_bar
from nextclick.cli.ranking_options import RankingOptions, ranking_group
from nextclick.errors import ConfigError
from nextclick.experiments.comparison_options import CompareOptions
from nextclick.models.model_registry import BASELINES


@dataclass(frozen=True, slots=True)
class ComparedModels:
    """Which models are trained, with which parameters, and how often."""

    models: Annotated[
        str,
        Field(
            description="models by name; all for every model; with a preset (narm@global) or "
            "parameters (asars@variant=time_cat+epochs=5); recipe files "
            "(recipes/narm-quick.toml); artifacts (models/narm, with a slash); LABEL=… names an "
            "entry"
        ),
    ] = ",".join(BASELINES)
    settings: Annotated[
        list[str] | None,
        Field(
            description="parameter as NAME=VALUE, for all models that have it, or as "
            "MODEL.NAME=VALUE or LABEL.NAME=VALUE; repeatable"
        ),
    ] = None
    seeds: Annotated[
        int, Field(ge=1, description="trainings of each model that is not deterministic")
    ] = 1


def compare_command(
    inputs: Annotated[
        list[str],
        typer.Argument(help="One store, on which models are trained; or result files."),
    ],
    entries: Annotated[
        TypedOptions[ComparedModels],
        OptionGroup("Models", flags={"models": ("--models", "-m"), "settings": ("--set",)}),
    ],
    ranking: Annotated[TypedOptions[RankingOptions], ranking_group(omit=("unseen",))],
    comparison: Annotated[
        TypedOptions[CompareOptions],
        OptionGroup(
            "Comparison",
            flags={"metric": ("--sort-by",)},
            only=("train_on", "metric", "against", "device", "track"),
            defaults={
                "train_on": "all, or inner with --part valid",
                "metric": "recall at the largest K",
                "against": "the second-best model",
            },
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report and the models.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train and evaluate several models under the same conditions.

    \b
        nextclick compare store -o comparison
        nextclick compare store --models pop,session-knn,narm,asars@paper --seeds 3 -o comparison
        nextclick compare store --models recipes/narm-quick.toml,narm@global \\
            --set epochs=5 --set narm.hidden_width=50 -o comparison
        nextclick compare store --models session-knn,models/narm --train-on inner -o trained
        nextclick compare store --by popularity,user --exclude-seen --allow @in-stock.txt -o stock
        nextclick compare comparison/*/result.json other/result.json -o both

    The folder gets report.html, a self-contained file; figures/ as PNG and SVG; tables as CSV;
    comparison.json; and NAME/artifact of every model.

    After Ctrl-C, rerun the same command to resume, also within a training. Additional models or
    seeds train only what is missing. A model that fails is listed in the report with the reason.

    With one seed the comparison is between trained models, not methods; another seed may reverse
    it. Use --seeds 3 or more to compare methods. Figures need the extra `report`.
    """  # noqa: D301
    from nextclick.cli.leaderboard_table import comparison_results, show_comparison
    from nextclick.data.store import Store
    from nextclick.experiments.comparison import compare, compare_results

    comparison_options = comparison.apply()
    if all(Path(path).is_file() for path in inputs):
        compared = compare_results(
            [Path(path) for path in inputs],
            output,
            metric=comparison_options.metric,
            against=comparison_options.against,
            overwrite=overwrite,
        )
    elif len(inputs) == 1:
        options, models = ranking.apply(), entries.apply()
        with progress_bar() as progress:
            store = Store.open(inputs[0], progress)
        rest = {
            "seeds": range(models.seeds),
            "part": options.part,
            "ks": parse_cutoffs(options.ks),
            "settings": parse_values(models.settings),
            "protocol": options.protocol(store),
            "by": options.by,
            "prequential": options.prequential,
        }
        full = TypedOptions(CompareOptions, {**comparison.values, **rest}).apply()
        with progress_bar() as progress:
            compared = compare(
                store,
                parse_list(models.models),
                output,
                full,
                overwrite=overwrite,
                progress=progress,
            )
    else:
        raise ConfigError(
            "compare takes one store or result files, got several of them or both: "
            + ", ".join(map(str, inputs))
        )
    show_comparison(compared)
    if as_json:
        path = None if compared.path is None else str(compared.path)
        print_json("compare/1", {"path": path} | comparison_results(compared))
