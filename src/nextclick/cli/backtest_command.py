"""`nextclick backtest`: models in several windows of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from nextclick.cli.compare_command import ComparedModels
from nextclick.cli.dataclass_options import OptionGroup, TypedOptions
from nextclick.cli.output import Json, Overwrite, StorePath, print_json, say, show, table
from nextclick.cli.parsing import parse_cutoffs, parse_list, parse_values
from nextclick.cli.progress import progress_bar
from nextclick.cli.ranking_options import RankingOptions, ranking_group
from nextclick.experiments.backtest_options import BacktestOptions, WindowOptions

if TYPE_CHECKING:
    from nextclick.experiments.backtest import BacktestResult


@dataclass(frozen=True, slots=True)
class BacktestTable:
    """Which windows, and how the table is sorted."""

    windows: WindowOptions = field(default_factory=WindowOptions)
    sort_by: Annotated[str | None, Field(description="metric the table is sorted by")] = None
    device: Annotated[
        str, Field(description="compute device of neural models: auto, cpu or cuda")
    ] = "auto"


def backtest_command(
    store: StorePath,
    entries: Annotated[
        TypedOptions[ComparedModels],
        OptionGroup("Models", flags={"models": ("--models", "-m"), "settings": ("--set",)}),
    ],
    ranking: Annotated[
        TypedOptions[RankingOptions], ranking_group(omit=("unseen", "part", "by", "prequential"))
    ],
    tabled: Annotated[
        TypedOptions[BacktestTable],
        OptionGroup(
            "Backtest",
            defaults={
                "windows.days": "the length of the test part",
                "windows.train_days": "everything before the window",
                "windows.min_item_support": "as the store was prepared",
                "sort_by": "recall at the largest K",
            },
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the tables and the models.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train and evaluate models in several windows of time.

    \b
        nextclick backtest store --windows 5 -m pop,session-knn,narm -o backtest
        nextclick backtest store --windows 4 --days 7 --train-days 28 -m pop,session-knn

    Each window trains on the sessions of the store that end before it, and tests on those that end
    in it. Vocabularies and filters are those of the training sessions. The table has the mean over
    the windows with Student's t interval. The folder gets backtest.json, backtest.csv and, for
    every window, its store and models. After Ctrl-C, rerun the same command to resume.
    """  # noqa: D301
    from nextclick.data.store import Store
    from nextclick.experiments.backtest import backtest

    models, options, shown = entries.apply(), ranking.apply(), tabled.apply()
    with progress_bar() as progress:
        opened = Store.open(store, progress)
    full = BacktestOptions(
        windows=shown.windows,
        seeds=range(models.seeds),
        ks=parse_cutoffs(options.ks),
        metric=shown.sort_by,
        settings=parse_values(models.settings),
        protocol=options.protocol(opened),
        device=shown.device,
    )
    with progress_bar() as progress:
        tested = backtest(
            opened,
            parse_list(models.models),
            output,
            full,
            overwrite=overwrite,
            progress=progress,
        )
    _show(tested)
    if as_json:
        path = None if tested.path is None else str(tested.path)
        print_json("backtest/1", {"path": path, "backtest": tested.numbers})


def _show(tested: BacktestResult) -> None:
    from nextclick.core.metrics import METRICS, metric_label
    from nextclick.experiments.backtest import NUMBERS, TABLE
    from nextclick.report.summary import percent

    numbers = tested.numbers
    metric = numbers["metric"]
    k = metric.rpartition("@")[2]
    metrics = [f"{name}@{k}" for name in METRICS]
    rows = numbers["leaderboard"]
    table(
        f"Mean over {len(numbers['windows'])} windows with 95 % intervals, in percent",
        ["model", *map(metric_label, metrics), f"best minus model, {metric_label(metric)}"],
        [
            [
                row["label"] + ("" if row["leaky"] is None else f" (leaky: {row['leaky']})"),
                *(percent(row["metrics"][name]) for name in metrics),
                "–" if row["difference"] is None else percent(row["difference"]),
            ]
            for row in rows
        ],
    )
    labels = [row["label"] for row in rows]
    cells = []
    for window in numbers["windows"]:
        values = {model["label"]: model["metrics"][metric] for model in window["models"]}
        train, counts = window["train"], window["counts"]
        cells.append(
            [
                window["window"],
                window["boundary"][:19],
                train["sessions"],
                0 if counts is None else counts["prefixes"],
                *(f"{100 * values[label]['value']:.2f}" for label in labels),
            ]
        )
    columns = ["window", "test from (UTC)", "training sessions", "prefixes", *labels]
    table(f"{metric_label(metric)} by window, in percent", columns, cells)
    for failed in numbers["failed"]:
        say(f"{failed['window']}: {failed['label']} failed: {failed['reason']}")
    rules = ", ".join(f"{name} {v}" for name, v in numbers["protocol"].items() if v is not None)
    show(f"{rules}; data {numbers['data_fingerprint']}")
    if tested.path is not None:
        show(f"{tested.path}: {NUMBERS}, {TABLE}")
