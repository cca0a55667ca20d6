"""`nextclick run`: from a click log to a leaderboard in one command."""

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.evaluate import Cutoffs, show_leaderboard
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say
from nextclick.cli.prepare import Sources, TestSources, prepare_figures, show_report
from nextclick.cli.prepare_options import taking_prepare_options
from nextclick.cli.values import parse_cutoffs, parse_list
from nextclick.data.options import PrepareOptions
from nextclick.data.prepare import prepare
from nextclick.errors import OutputError
from nextclick.models import CLASSICAL
from nextclick.pipeline.compare import check_names, compare


@taking_prepare_options
def run_command(
    sources: Sources,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the store and the models.")
    ],
    options: PrepareOptions,
    test: TestSources = None,
    models: Annotated[
        str, typer.Option("--models", "-m", help="Names, such as pop,item-knn.")
    ] = ",".join(CLASSICAL),
    ks: Cutoffs = "5,10,20",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a log, train every model, and show the leaderboard.

    \b
        nextclick run clicks.csv -o shop

    The folder then holds `store` and, for each model, `models/NAME/artifact`.
    """  # noqa: D301
    names = parse_list(models)
    check_names(names)
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
    cutoffs = sorted({min(k, n_items) for k in cutoffs})  # a small catalogue has no place 20
    with progress_bar() as told:
        results = compare(
            prepared.store,
            names,
            output=output / "models",
            ks=cutoffs,
            overwrite=overwrite,
            progress=told,
        )
    rows = show_leaderboard(results, cutoffs)
    best = output / "models" / rows[0]["model"] / "artifact"
    say(
        f"\nthe best is {rows[0]['label']}; ask it with\n"
        f"  nextclick recommend {best} --session {_example(prepared.store)}"
    )
    if as_json:
        figures = prepare_figures(prepared)
        print_json(
            "run/1", figures | {"leaderboard": rows, "results": [r.to_json() for r in results]}
        )


def _example(store) -> str:  # type: ignore[no-untyped-def]
    clicks = store.part("test").session(0)
    return ",".join(str(store.items.raw(int(item))) for item in clicks[:3] if item > 0)
