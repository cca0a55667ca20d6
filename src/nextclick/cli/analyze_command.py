"""`nextclick analyze`: what a log looks like, as pictures and as numbers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.analysis import CategoryFile, LogStatistics
from nextclick.analysis.temporal_graph_stats import TemporalGraphStats
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.errors import ConfigError
from nextclick.experiments.log_analysis import (
    FIGURE1,
    NUMBERS,
    PROFILE,
    TEMPORAL_GRAPH,
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
    """Describe a log: Figure 1 of the ASARS paper and a basic profile.

    Statistics: share of a session on its top items, repeats from the user's earlier sessions, gaps
    between clicks with a gamma fit; session lengths, popularity, activity, popularity drift; edges
    of TASRec's temporal item graph. Writes figure1.png, profile.png, temporal-graph.png and
    analysis.json. Statistics that need users, times or categories the log lacks are left out, with
    a reason. Requires the extra `report`.

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
    say(f"{output}: {FIGURE1}, {PROFILE}, {TEMPORAL_GRAPH}, {NUMBERS}")
    if as_json:
        print_json("analyze/1", {"path": str(output), "analysis": analyzed.numbers})


def _show(analyzed: Analyzed) -> None:
    found, about = analyzed.statistics, analyzed.numbers["categories"]
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


def _show_ranks(found: LogStatistics) -> None:
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


def _show_gaps(found: LogStatistics) -> None:
    gaps = found.gaps
    if gaps is None:
        return
    at = gaps.quantiles_seconds
    say(
        f"gaps: median {at['p50']:,.3g} s, 90 % up to {at['p90']:,.4g} s, mean "
        f"{gaps.mean_seconds:,.4g} s, clock of {gaps.resolution_seconds:g} s; {gaps.used:,} used, "
        f"{gaps.zeros:,} of 0 s left out"
    )
    if gaps.most_frequent.is_placeholder:
        say(
            f"excluded as placeholder times: {gaps.most_frequent.before_last:,} gaps of exactly "
            f"{gaps.most_frequent.seconds:g} s before the last click of a session"
        )
    if gaps.gamma is not None and gaps.lognormal is not None:
        say(
            f"gamma fit: shape {gaps.gamma.shape:.4f}, scale {gaps.gamma.scale:,.2f} s; mean log "
            f"density {gaps.gamma.mean_log_density:.3f}, of a log-normal "
            f"{gaps.lognormal.mean_log_density:.3f}"
        )


def _show_profile(found: LogStatistics) -> None:
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
        say(f"similarity of days by lag: {told}")
    if found.temporal_graph is not None:
        _show_temporal_graph(found.temporal_graph)


def _show_temporal_graph(graph: TemporalGraphStats) -> None:
    told = [f"{block}: {n:,}" for block, n in zip(graph.blocks, graph.neighbor_pairs, strict=True)]
    before = "" if len(told) <= _MOST_BLOCKS else "…, "
    clicked = sum(graph.clicked_pairs[1:])
    say(
        "neighbor pairs in the temporal item graph, by block: "
        f"{before}{', '.join(told[-_MOST_BLOCKS:])}; of {clicked:,} pairs clicked after the first "
        f"block {100 * sum(graph.clicked_neighbor_pairs) / max(clicked, 1):.1f} % were neighbors"
    )
