"""`nextclick analyze`: the statistics of a log, as plots and as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, StorePath, print_json, say, show, table
from nextclick.cli.progress import progress_bar
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.analysis import LogStatistics
    from nextclick.analysis.temporal_graph_stats import TemporalGraphStats
    from nextclick.experiments.log_analysis import AnalysisResult

_MAX_BLOCKS = 14  # printed


@dataclass(frozen=True, slots=True)
class CategoryOptions:
    """A table with the categories of the items."""

    categories: Annotated[
        str | None,
        Field(description="table of items and categories: a catalog, or the raw log itself"),
    ] = None
    item: Annotated[str | None, Field(description="its column of items")] = None
    category: Annotated[str | None, Field(description="its column of categories")] = None
    format: Annotated[
        str | None, Field(description="its log format, for a file without a header")
    ] = None


def analyze_command(
    store: StorePath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the plots.")],
    category_table: Annotated[
        TypedOptions[CategoryOptions],
        OptionGroup(
            "Categories",
            defaults={"item": "detected by name", "category": "detected by name"},
        ),
    ],
    part: Annotated[
        str, typer.Option(help="Split to analyze: train, train_inner, valid or test.")
    ] = "train",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Plot and measure the sessions, clicks and items of a store.

    Reports the concentration of sessions on few items, repeated items of a user, the gaps between
    clicks with a gamma fit (Figure 1 of the ASARS paper); session lengths, popularity, activity and
    popularity drift; and the edges of the temporal item graph of TASRec. The folder gets
    figure1.png, profile.png, temporal-graph.png, and all numbers in analysis.json. Panels that need
    users, times or categories the log does not have are skipped with a reason. Needs the extra
    `report`.

    \b
        nextclick analyze store -o figures
        nextclick analyze store -o figures --categories catalog.csv --category genre
        nextclick analyze store -o figures --categories UserBehavior.csv --format taobao
    """  # noqa: D301
    from nextclick.analysis import CategoryFile
    from nextclick.experiments.log_analysis import (
        FIGURE1,
        NUMBERS,
        PROFILE,
        TEMPORAL_GRAPH,
        analyze,
    )

    source = category_table.apply()
    if source.categories is None and category_table:
        raise ConfigError(
            "--item, --category and --format describe the table of --categories, which is missing"
        )
    file = None
    if source.categories is not None:
        file = CategoryFile(
            source.categories, source.item, source.category, source.format or "table"
        )
    with progress_bar() as progress:
        analyzed = analyze(
            store, output, part=part, categories=file, overwrite=overwrite, progress=progress
        )
    _show(analyzed)
    show(f"{output}: {FIGURE1}, {PROFILE}, {TEMPORAL_GRAPH}, {NUMBERS}")
    if as_json:
        print_json("analyze/1", {"path": str(output), "analysis": analyzed.numbers})


def _show(analyzed: AnalysisResult) -> None:
    analysis, categories = analyzed.statistics, analyzed.numbers["categories"]
    if categories is not None:
        columns = categories["columns"]
        show(
            f"{categories['categories']:,} categories (item = {columns['item']}, category = "
            f"{columns['category']}); {categories['items_without']:,} items of the store have none "
            f"({categories['clicks_without']:,} clicks in this part); "
            f"{categories['unreadable_rows']:,} unreadable rows of the table were ignored"
        )
    _show_ranks(analysis)
    _show_gaps(analysis)
    _show_profile(analysis)
    for panel, reason in analysis.missing.items():
        say(f"skipped: {panel.replace('_', ' ')}. {reason}")


def _show_ranks(analysis: LogStatistics) -> None:
    columns: dict[str, list[float]] = {}
    for title, panel in (("within", analysis.within_session), ("repeated", analysis.repeats)):
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
            "Percent of the clicks of a session: within, on its r-th most frequent item; repeated, "
            "on items of the last r sessions of the user",
            ["r", *columns],
            rows,
        )


def _show_gaps(analysis: LogStatistics) -> None:
    gaps = analysis.gaps
    if gaps is None:
        return
    quantiles = gaps.quantiles_seconds
    show(
        f"gaps: median {quantiles['p50']:,.3g} s, 90th percentile {quantiles['p90']:,.4g} s, mean "
        f"{gaps.mean_seconds:,.4g} s, clock resolution {gaps.resolution_seconds:g} s; "
        f"{gaps.used:,} gaps used, {gaps.zeros:,} of 0 s excluded"
    )
    if gaps.most_frequent.is_placeholder:
        show(
            f"excluded as placeholder times: {gaps.most_frequent.before_last:,} gaps of exactly "
            f"{gaps.most_frequent.seconds:g} s before the last click of a session"
        )
    if gaps.gamma is not None and gaps.lognormal is not None:
        show(
            f"gamma fit: shape {gaps.gamma.shape:.4f}, scale {gaps.gamma.scale:,.2f} s; mean log "
            f"density {gaps.gamma.mean_log_density:.3f}, log-normal "
            f"{gaps.lognormal.mean_log_density:.3f}"
        )


def _show_profile(analysis: LogStatistics) -> None:
    lengths, popular = analysis.session_lengths, analysis.popularity
    show(f"sessions: mean {lengths.mean:.2f} clicks, longest {lengths.longest:,}")
    if popular is not None:
        top = popular.shares_of_top
        show(
            f"popularity: the top 1 % of the items receive {top['1%']:.1%} of the clicks, "
            f"the top 10 % {top['10%']:.1%}"
        )
    if analysis.drift is not None:
        values = ", ".join(
            f"{lag} d {value:.2f}"
            for lag, value in zip(analysis.drift.lags, analysis.drift.similarity, strict=True)
        )
        show(f"similarity of days by lag: {values}")
    if analysis.temporal_graph is not None:
        _show_temporal_graph(analysis.temporal_graph)


def _show_temporal_graph(graph: TemporalGraphStats) -> None:
    values = [
        f"{block}: {n:,}" for block, n in zip(graph.blocks, graph.neighbor_pairs, strict=True)
    ]
    ellipsis = "" if len(values) <= _MAX_BLOCKS else "…, "
    clicked = sum(graph.clicked_pairs[1:])
    share = 100 * sum(graph.clicked_neighbor_pairs) / max(clicked, 1)
    show(
        "neighbor pairs in the temporal item graph, by block: "
        f"{ellipsis}{', '.join(values[-_MAX_BLOCKS:])}; of {clicked:,} consecutive pairs after "
        f"the first block, {share:.1f} % were neighbors"
    )
