"""`nextclick evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.artifact.version_registry import artifact_folder
from nextclick.cli.leaderboard_table import show_leaderboard
from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.parsing import parse_cutoffs
from nextclick.data.store import Store
from nextclick.errors import OutputError
from nextclick.evaluation import RankingProtocol, Result
from nextclick.evaluation.ranking_metrics import LONGEST
from nextclick.experiments.artifact_evaluation import evaluate, store_protocol
from nextclick.report.report_data import ReportOptions, build_comparison
from nextclick.report.run_folder import ModelRun

Cutoffs = Annotated[str, typer.Option("-k", help="The cut-offs K, such as 5,10,20.")]
Part = Annotated[str, typer.Option(help="test, or valid to choose a model.")]
Ties = Annotated[str, typer.Option(help="worst: equal scores rank above the target; best; mean.")]
Last = Annotated[bool, typer.Option("--last-only", help="Only the last click of each session.")]


def evaluate_command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `train` made, or a registry.")],
    store: Annotated[Path, typer.Argument(help="Folder that `prepare` made.")],
    ks: Cutoffs = "5,10,20",
    part: Part = "test",
    ties: Ties = "worst",
    last_only: Last = False,
    unseen: Annotated[
        str | None,
        typer.Option(
            help="keep or drop targets unseen in training. Default: as the store does.",
            show_default=False,
        ),
    ] = None,
    n_bootstrap: Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples.")] = 1000,
    by_length: Annotated[bool, typer.Option(help="Show the table by prefix length.")] = False,
    prequential: Annotated[
        bool,
        typer.Option(
            "--prequential",
            help="Before each block of time the model takes in those before it (tasrec).",
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result as JSON.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Rank every item after every prefix of the test sessions, and measure.

    \b
        nextclick evaluate model store -k 10,20 --by-length
    """  # noqa: D301
    opened = Store.open(store)
    rules = protocol_asked(opened, ties, last_only, unseen)
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} exists already; choose another place or say --overwrite")
    with progress_bar() as told:
        result = evaluate(
            artifact_folder(artifact),
            opened,
            part=part,
            ks=parse_cutoffs(ks),
            protocol=rules,
            prequential=prequential,
            n_bootstrap=n_bootstrap,
            progress=told,
        )
    if output is not None:
        result.write(output)
    metric = f"recall@{max(parse_cutoffs(ks))}"
    runs = [ModelRun(Path(artifact), result, None, None)]
    show_leaderboard(build_comparison(runs, ReportOptions(opened.path.name, metric)))
    say(f"{result.evaluation['queries_per_second']:,.0f} queries/s, in blocks")
    if by_length:
        _show_lengths(result, max(parse_cutoffs(ks)))
    if as_json:
        print_json("evaluate/1", {"result": result.to_json()})


def protocol_asked(store: Store, ties: str, last_only: bool, unseen: str | None) -> RankingProtocol:
    """How ranks are counted, as the options say."""
    asked: dict[str, Any] = {"ties": ties, "mode": "last" if last_only else "all"}
    if unseen is not None:
        asked["unseen"] = unseen
    return replace(store_protocol(store), **asked)


def _show_lengths(result: Result, k: int) -> None:
    rows = []
    for row in result.evaluation["by_length"]:
        metrics = row["metrics"]
        recall, mrr = metrics[f"recall@{k}"], metrics[f"mrr@{k}"]
        label = f"{row['length']}{'+' if row['length'] == LONGEST else ''}"
        rows.append([label, row["prefixes"], f"{100 * recall:.2f}", f"{100 * mrr:.2f}"])
    table("By prefix length, percent", ["clicks", "prefixes", f"Recall@{k}", f"MRR@{k}"], rows)
