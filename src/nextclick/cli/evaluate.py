"""`nextclick evaluate` and `nextclick compare`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from nextclick.cli.output import Json, Overwrite, print_json, progress_bar, say, table
from nextclick.cli.values import parse_cutoffs, parse_list, parse_values
from nextclick.data.store import Store
from nextclick.errors import ConfigError, OutputError
from nextclick.evaluation import Estimate, RankingProtocol, Result, Row, leaderboard
from nextclick.evaluation.metrics import LONGEST
from nextclick.models import CLASSICAL
from nextclick.pipeline.compare import compare
from nextclick.pipeline.evaluate import evaluate, store_protocol

Cutoffs = Annotated[str, typer.Option("-k", help="The cut-offs K, such as 5,10,20.")]
Part = Annotated[str, typer.Option(help="test, or valid to choose a model.")]
Ties = Annotated[str, typer.Option(help="worst: equal scores rank above the target; best; mean.")]
Last = Annotated[bool, typer.Option("--last-only", help="Only the last click of each session.")]


def evaluate_command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `train` made.")],
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
    rules = _protocol(opened, ties, last_only, unseen)
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} exists already; choose another place or say --overwrite")
    with progress_bar() as told:
        result = evaluate(
            artifact,
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
    show_leaderboard([result], parse_cutoffs(ks))
    if by_length:
        _show_lengths(result, max(parse_cutoffs(ks)))
    if as_json:
        print_json("evaluate/1", {"result": result.to_json()})


def compare_command(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="A store, whose models are trained now; or result files to tabulate."),
    ],
    models: Annotated[
        str, typer.Option("--models", "-m", help="Names, such as pop,item-knn.")
    ] = ",".join(CLASSICAL),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="MODEL.NAME=VALUE, such as item-knn.shrinkage=50."),
    ] = None,
    ks: Cutoffs = "5,10,20",
    part: Part = "test",
    ties: Ties = "worst",
    last_only: Last = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 1,
    sort_by: Annotated[
        str | None,
        typer.Option(
            help="Metric to sort by. Default: recall at the largest K.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for artefacts and results.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Put models side by side: same data, same protocol, or no table.

    \b
        nextclick compare store --models pop,item-knn,session-knn -o comparison
        nextclick compare comparison/*/result.json other/result.json
    """  # noqa: D301
    if all(path.is_file() for path in inputs):
        results = [Result.read(path) for path in inputs]
        cutoffs = [int(k) for k in results[0].evaluation["ks"]]
    elif len(inputs) == 1:
        opened = Store.open(inputs[0])
        cutoffs = parse_cutoffs(ks)
        with progress_bar() as told:
            results = compare(
                opened,
                parse_list(models),
                output=output,
                part=part,
                ks=cutoffs,
                configs=_by_model(settings, parse_list(models)),
                seeds=range(seeds),
                protocol=_protocol(opened, ties, last_only, None),
                overwrite=overwrite,
                progress=told,
            )
    else:
        raise ConfigError(
            "compare takes one store, or result files, got a mixture: "
            + ", ".join(map(str, inputs))
        )
    rows = show_leaderboard(results, cutoffs, sort_by)
    if as_json:
        print_json("compare/1", {"leaderboard": rows, "results": [r.to_json() for r in results]})


def _by_model(settings: list[str] | None, models: list[str]) -> dict[str, dict[str, str]]:
    configs: dict[str, dict[str, str]] = {}
    for key, value in parse_values(settings).items():
        model, _, name = key.partition(".")
        if model not in models or not name:
            raise ConfigError(
                f"--set takes MODEL.NAME=VALUE with a model of {', '.join(models)}, "
                f"got {key}={value}"
            )
        configs.setdefault(model, {})[name] = value
    return configs


def show_leaderboard(
    results: list[Result], cutoffs: list[int], sort_by: str | None = None
) -> list[dict[str, Any]]:
    """Print the table in percent, and return its rows."""
    largest = max(cutoffs)
    rows = leaderboard(results, metric=sort_by or f"recall@{largest}")
    shown = [f"recall@{largest}", f"mrr@{largest}", f"ndcg@{largest}"]
    first = results[0]
    cells = [
        [
            row.label,
            *(_percent(row.metrics[name]) for name in shown[:2]),
            f"{100 * row.metrics[shown[2]].value:.2f}",
            f"{100 * _mean(row, lambda e: e['coverage'][f'coverage@{largest}']):.2f}",
            f"{_mean(row, lambda e: e['training_seconds']):.2f}",
            f"{_mean(row, lambda e: e['queries_per_second']):,.0f}",
        ]
        for row in rows
    ]
    counts = first.evaluation["counts"]
    rules = ", ".join(f"{k} {v}" for k, v in first.protocol.items() if v is not None)
    table(
        "Leaderboard, percent with 95 % intervals by session",
        [
            "model",
            f"Recall@{largest}",
            f"MRR@{largest}",
            f"NDCG@{largest}",
            "coverage",
            "trained in s",
            "queries/s",
        ],
        cells,
    )
    say(
        f"{counts['prefixes']:,} prefixes of {counts['sessions']:,} sessions, "
        f"{counts['unseen_targets']:,} targets unseen in training; {rules}"
    )
    say(f"data {first.data_fingerprint}")
    return [
        {
            "model": row.model,
            "label": row.label,
            "config": row.config,
            "seeds": list(row.seeds),
            "metrics": {name: vars_of(e) for name, e in row.metrics.items()},
            "leaky": row.leaky,
            "prequential": row.prequential,
        }
        for row in rows
    ]


def _mean(row: Row, figure: Callable[[dict[str, Any]], float]) -> float:
    return fmean(figure(result.evaluation) for result in row.results)


def vars_of(estimate: Estimate) -> dict[str, float | None]:
    """An estimate as JSON types, as fractions."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _protocol(store: Store, ties: str, last_only: bool, unseen: str | None) -> RankingProtocol:
    asked: dict[str, Any] = {"ties": ties, "mode": "last" if last_only else "all"}
    if unseen is not None:
        asked["unseen"] = unseen
    return replace(store_protocol(store), **asked)


def _percent(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.2f}"
    return f"{100 * estimate.value:.2f} [{100 * estimate.low:.2f}, {100 * estimate.high:.2f}]"


def _show_lengths(result: Result, k: int) -> None:
    rows = []
    for row in result.evaluation["by_length"]:
        metrics = row["metrics"]
        recall, mrr = metrics[f"recall@{k}"], metrics[f"mrr@{k}"]
        label = f"{row['length']}{'+' if row['length'] == LONGEST else ''}"
        rows.append([label, row["prefixes"], f"{100 * recall:.2f}", f"{100 * mrr:.2f}"])
    table("By prefix length, percent", ["clicks", "prefixes", f"Recall@{k}", f"MRR@{k}"], rows)
