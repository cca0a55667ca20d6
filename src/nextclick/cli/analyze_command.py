"""`nextclick analyze`: what a log looks like, as pictures and as numbers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.analysis import Analysis, CategoryFile
from nextclick.analysis.temporal_graph_stats import DayGraph
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.errors import ConfigError
from nextclick.experiments.log_analysis import (
    DAY_GRAPH,
    FIGURE1,
    NUMBERS,
    PROFILE,
    Analyzed,
    analyze,
)

_MOST_BLOCKS = 14  # that are told


def _default(text: str) -> Any:
    return typer.Option(help=text, show_default=False)


def analyze_command(
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figures.")],
    part: Annotated[str, typer.Option(help="train, fit, valid or test.")] = "train",
    categories: Annotated[
        str | None,
        _default("A table of items and categories: a catalog, or the raw log itself."),
    ] = None,
    item: Annotated[
        str | None, _default("Its column of items. Default: found by its name.")
    ] = None,
    category: Annotated[
        str | None, _default("Its column of categories. Default: found by its name.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="Its log format, for a file without a header.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show what a log looks like: Figure 1 of the ASARS paper, and a basic profile.

    How much of a session goes to its top items, how much its user knows from earlier sessions, the
    gaps between clicks with a gamma fit; session lengths, popularity, activity, and drift from day
    to day; the edges of TASRec's graph of the days. The folder gets figure1.png, profile.png,
    day-graph.png, and all numbers in analysis.json. What a log has no users, times or categories
    for is left out, with a reason. Needs the extra `report`.

    \b
        nextclick analyze store -o figures
        nextclick analyze store -o figures --categories catalog.csv --category genre
        nextclick analyze store -o figures --categories UserBehavior.csv --format taobao
    """  # noqa: D301
    if categories is None and (item or category or form):
        raise ConfigError(
            "--item, --category and --format describe the table of --categories, which is not given"
        )
    file = None
    if categories is not None:
        file = CategoryFile(categories, item, category, form or "table")
    with progress_bar() as told:
        analyzed = analyze(
            store, output, part=part, categories=file, overwrite=overwrite, progress=told
        )
    _show(analyzed)
    say(f"{output}: {FIGURE1}, {PROFILE}, {DAY_GRAPH}, {NUMBERS}")
    if as_json:
        print_json("analyze/1", {"path": str(output), "analysis": analyzed.numbers})


def _show(analyzed: Analyzed) -> None:
    found, about = analyzed.found, analyzed.numbers["categories"]
    if about is not None:
        columns = about["columns"]
        say(
            f"{about['categories']:,} categories (item = {columns['item']}, category = "
            f"{columns['category']}); {about['items_without']:,} items of the store have none, "
            f"with {about['clicks_without']:,} clicks in this part"
        )
    _show_ranks(found)
    _show_gaps(found)
    _show_profile(found)
    for panel, reason in found.missing.items():
        say(f"left out: {panel.replace('_', ' ')}. {reason}")


def _show_ranks(found: Analysis) -> None:
    columns: dict[str, list[float]] = {}
    for title, panel in (("within", found.within_session), ("repeated", found.repeats)):
        if panel is not None:
            columns[f"items {title}"] = panel.items.shares
            if panel.categories is not None:
                columns[f"categories {title}"] = panel.categories.shares
    if columns:
        rows = [
            [r, *(f"{100 * share:.1f}" for share in row)]
            for r, row in enumerate(zip(*columns.values(), strict=True), start=1)
        ]
        table(
            "Percent of a session: within, on its r-th item; repeated, from its user's last r "
            "sessions",
            ["r", *columns],
            rows,
        )


def _show_gaps(found: Analysis) -> None:
    gaps = found.gaps
    if gaps is None:
        return
    at = gaps.quantiles_seconds
    say(
        f"gaps: median {at['p50']:,.3g} s, 90 % up to {at['p90']:,.4g} s, mean "
        f"{gaps.mean_seconds:,.4g} s, clock of {gaps.resolution_seconds:g} s; {gaps.used:,} used, "
        f"{gaps.zeros:,} of 0 s left out"
    )
    if gaps.commonest.invented:
        say(
            f"left out as invented: {gaps.commonest.before_last:,} gaps of exactly "
            f"{gaps.commonest.seconds:g} s before the last click of a session"
        )
    if gaps.gamma is not None and gaps.lognormal is not None:
        say(
            f"gamma fit: shape {gaps.gamma.shape:.4f}, scale {gaps.gamma.scale:,.2f} s; mean log "
            f"density {gaps.gamma.mean_log_density:.3f}, of a log-normal "
            f"{gaps.lognormal.mean_log_density:.3f}"
        )


def _show_profile(found: Analysis) -> None:
    lengths, popular = found.session_lengths, found.popularity
    say(f"sessions: mean {lengths.mean:.2f} clicks, longest {lengths.longest:,}")
    if popular is not None:
        top = popular.shares_of_top
        say(
            f"popularity: the top 1 % of the items have {top['1%']:.1%} of the clicks, "
            f"the top 10 % {top['10%']:.1%}"
        )
    if found.drift is not None:
        told = ", ".join(
            f"{lag} d {value:.2f}"
            for lag, value in zip(found.drift.lags, found.drift.similarity, strict=True)
        )
        say(f"likeness of days: {told}")
    if found.day_graph is not None:
        _show_day_graph(found.day_graph)


def _show_day_graph(graph: DayGraph) -> None:
    told = [f"{block}: {n:,}" for block, n in zip(graph.blocks, graph.alive, strict=True)]
    before = "" if len(told) <= _MOST_BLOCKS else "…, "
    clicked = sum(graph.clicked[1:])
    say(
        "pairs of neighbors in the graph of the days, by block: "
        f"{before}{', '.join(told[-_MOST_BLOCKS:])}; of {clicked:,} pairs clicked after the first "
        f"block {100 * sum(graph.known) / max(clicked, 1):.1f} % were neighbors"
    )
