"""A comparison as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.cli.output import say, show, table
from nextclick.core.metrics import METRICS, metric_label
from nextclick.report.report_files import REPORT
from nextclick.report.significant_differences import find_pair
from nextclick.report.summary import percent

if TYPE_CHECKING:
    from nextclick.experiments.comparison import ComparisonResult


def show_comparison(compared: ComparisonResult) -> None:
    """Print the table, its summary, and the path of the report."""
    numbers = compared.numbers
    if numbers["leaderboard"]:
        show_leaderboard(numbers)
        show_segments(numbers)
        show(numbers["summary"]["text"])
        if numbers["summary"]["notice"]:
            say(numbers["summary"]["notice"])
    for failed in numbers["failed"]:
        say(f"{failed['label']} seed {failed['seed']} failed: {failed['reason']}")
    if compared.no_figures_reason is not None:
        say(compared.no_figures_reason)
    if compared.path is not None:
        show(f"{compared.path / REPORT}")


def comparison_results(compared: ComparisonResult) -> dict[str, Any]:
    """The fields that `compare/1` and `run/1` share."""
    return {
        "comparison": compared.numbers,
        "results": [result.to_json() for result in compared.results],
    }


def show_leaderboard(numbers: dict[str, Any]) -> None:
    """Print the table in percent."""
    k, rows = numbers["k"], numbers["leaderboard"]
    metrics = [f"{name}@{k}" for name in METRICS]
    beyond = ["coverage", "diversity"] if _has_diversity(rows) else ["coverage"]
    table(
        "Leaderboard, in percent with 95 % intervals; ● differs significantly from the best",
        ["model", *map(metric_label, metrics), *beyond, "training s", "response ms"],
        [_cells(row, metrics, beyond, numbers) for row in rows],
    )
    counts, predicted = numbers["counts"], numbers["predicted"]
    share = (
        "" if predicted is None else f" ({predicted['share']:.0%} of the clicks of the test period)"
    )
    rules = ", ".join(f"{k} {v}" for k, v in numbers["protocol"].items() if v is not None)
    show(
        f"{counts['prefixes']:,} prefixes of {counts['sessions']:,} sessions{share}, "
        f"{counts['unseen_targets']:,} targets unseen in training; {rules}"
    )
    show(f"data {numbers['data_fingerprint']}")


def show_segments(numbers: dict[str, Any]) -> None:
    """Print a table for each segmentation, in percent."""
    k = numbers["k"]
    for segmentation in numbers["segments"]:
        rows = [
            [
                row["segment"],
                label,
                row["prefixes"],
                percent(metrics[f"recall@{k}"]),
                percent(metrics[f"mrr@{k}"]),
            ]
            for row in segmentation["rows"]
            for label, metrics in row["metrics"].items()
        ]
        columns = ["segment", "model", "prefixes", f"Recall@{k}", f"MRR@{k}"]
        table(f"{segmentation['title']}, in percent", columns, rows)


def _has_diversity(rows: list[dict[str, Any]]) -> bool:
    return any(row["diversity"] is not None for row in rows)


def _cells(
    row: dict[str, Any], metrics: list[str], beyond: list[str], numbers: dict[str, Any]
) -> list[str]:
    pair = find_pair(numbers["pairs"], row["label"], numbers["best"])
    label = row["label"] + (" ●" if pair and pair["significant"] else "")
    label += "" if row["leaky"] is None else f" (leaky: {row['leaky']})"
    label += " (prequential)" if row["prequential"] else ""
    costs = row["costs"]
    *estimated, last = (row["metrics"][name] for name in metrics)
    return [
        label,
        *map(percent, estimated),
        f"{100 * last['value']:.2f}",
        *("–" if row[name] is None else f"{100 * row[name]:.2f}" for name in beyond),
        "–" if costs is None else f"{costs['training_seconds']:.2f}",
        "–" if costs is None else f"{costs['response_ms']['median']:.3f}",
    ]
