"""`nextclick evaluate`: the metrics of one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import (
    ArtifactPath,
    Json,
    Overwrite,
    StorePath,
    is_first_process,
    print_json,
    show,
    table,
)
from nextclick.cli.parsing import parse_cutoffs
from nextclick.cli.progress import progress_bar
from nextclick.cli.ranking_options import RankingOptions, ranking_group
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from nextclick.evaluation import Result


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """How the metrics are computed and shown."""

    n_bootstrap: Annotated[int, Field(ge=0, description="bootstrap resamples of the intervals")] = (
        1000
    )
    by_length: Annotated[bool, Field(description="print metrics by prefix length")] = False
    shard_items: Annotated[
        bool,
        Field(description="with torchrun: split the rows of the item tables over the processes"),
    ] = False


def evaluate_command(
    artifact: ArtifactPath,
    store: StorePath,
    ranking: Annotated[TypedOptions[RankingOptions], ranking_group()],
    result_options: Annotated[
        TypedOptions[ResultOptions],
        OptionGroup("Result", flags={"n_bootstrap": ("--bootstrap",)}),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result to this JSON file.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Rank all items after every prefix of the test sessions and report metrics.

    \b
        nextclick evaluate model store -k 10,20 --by-length
        nextclick evaluate model store --by popularity,user --exclude-seen --block @sold-out.txt
        nextclick evaluate model store --part valid -o result.json
        torchrun --nproc-per-node 2 -m nextclick evaluate model store
    """  # noqa: D301
    from nextclick.cli.leaderboard_table import show_leaderboard, show_segments
    from nextclick.data.store import Store
    from nextclick.experiments.artifact_evaluation import evaluate
    from nextclick.report.report_data import ReportOptions, build_comparison
    from nextclick.report.run_folder import ModelRun

    options, shown = ranking.apply(), result_options.apply()
    ks = parse_cutoffs(options.ks)
    with progress_bar() as progress:
        opened = Store.open(store, progress)
    protocol = options.protocol(opened)
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} already exists; choose another --output or add --overwrite")
    with progress_bar() as progress:
        result = evaluate(
            artifact,
            opened,
            part=options.part,
            ks=ks,
            protocol=protocol,
            by=options.by,
            prequential=options.prequential,
            n_bootstrap=shown.n_bootstrap,
            shard_items=shown.shard_items,
            progress=progress,
        )
    if output is not None and is_first_process():
        result.write(output)
    largest = max(result.evaluation["ks"])
    runs = [ModelRun(Path(artifact), result, None, None)]
    numbers = build_comparison(runs, ReportOptions(opened.path.name, f"recall@{largest}"))
    show_leaderboard(numbers)
    show_segments(numbers)
    show(f"{result.evaluation['queries_per_second']:,.0f} queries/s, scored in batches")
    if shown.by_length:
        _show_lengths(result, largest)
    if as_json:
        print_json("evaluate/1", {"result": result.to_json()})


def _show_lengths(result: Result, k: int) -> None:
    from nextclick.evaluation.ranking_metrics import LONGEST

    rows = []
    for row in result.evaluation["by_length"]:
        metrics = row["metrics"]
        recall, mrr = metrics[f"recall@{k}"], metrics[f"mrr@{k}"]
        label = f"{row['length']}{'+' if row['length'] == LONGEST else ''}"
        rows.append([label, row["prefixes"], f"{100 * recall:.2f}", f"{100 * mrr:.2f}"])
    table("By prefix length, in percent", ["clicks", "prefixes", f"Recall@{k}", f"MRR@{k}"], rows)
