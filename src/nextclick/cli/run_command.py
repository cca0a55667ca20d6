"""`nextclick run`: from a click log to a leaderboard in one command."""

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.evaluate_command import Cutoffs
from nextclick.cli.leaderboard_table import compared_figures, show_compared
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say
from nextclick.cli.parsing import parse_cutoffs, parse_list
from nextclick.cli.prepare_command import Sources, TestSources, prepare_figures, show_report
from nextclick.cli.prepare_options import taking_prepare_options
from nextclick.data.options import PrepareOptions
from nextclick.data.prepare_store import prepare
from nextclick.errors import OutputError
from nextclick.experiments.comparison import CompareOptions, compare
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.models.model_registry import BASELINES


@taking_prepare_options
def run_command(
    sources: Sources,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the store and the models.")
    ],
    options: PrepareOptions,
    test: TestSources = None,
    models: Annotated[
        str, typer.Option("--models", "-m", help="Such as pop,narm@global; see `compare`.")
    ] = ",".join(BASELINES),
    ks: Cutoffs = "5,10,20",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a log, train every model, and show the leaderboard.

    \b
        nextclick run clicks.csv -o shop

    The folder then holds `store`, the report `models/report.html` and, for each model,
    `models/NAME/artifact`.
    """  # noqa: D301
    names = parse_list(models)
    parse_model_specs(names, {})
    for part in ("store", "models"):
        if (output / part).exists() and not overwrite:
            raise OutputError(
                f"{output / part} exists already; choose another place or say --overwrite"
            )
    cutoffs = parse_cutoffs(ks)
    with progress_bar() as told:
        prepared = prepare(
            sources,
            output / "store",
            test=test or None,
            options=options,
            overwrite=overwrite,
            progress=told,
        )
    show_report(prepared)
    n_items = len(prepared.store.items)
    cutoffs = sorted({min(k, n_items) for k in cutoffs})  # a small catalog has no place 20
    with progress_bar() as told:
        compared = compare(
            prepared.store,
            names,
            output / "models",
            CompareOptions(ks=cutoffs),
            overwrite=overwrite,
            progress=told,
        )
    show_compared(compared)
    for best in compared.numbers["leaderboard"][:1]:
        artifact = output / "models" / best["folders"][0] / "artifact"
        say(
            f"\nthe best is {best['label']}; ask it with\n"
            f"  nextclick recommend {artifact} --session {_example(prepared.store)}"
        )
    if as_json:
        figures = prepare_figures(prepared)
        print_json("run/1", figures | compared_figures(compared))


def _example(store) -> str:  # type: ignore[no-untyped-def]
    clicks = store.part("test").session(0)
    return ",".join(map(str, store.items.raws(clicks[clicks > 0][:3])))
