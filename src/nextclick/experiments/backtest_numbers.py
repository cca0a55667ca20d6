"""The results of a backtest as JSON: the runs of each window, and their means over the windows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from statistics import stdev
from typing import TYPE_CHECKING, Any

from nextclick.data.split import iso
from nextclick.evaluation import leaderboard
from nextclick.evaluation.window_means import mean_over_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.data.store import Store
    from nextclick.data.window_stores import Window
    from nextclick.evaluation import LeaderboardRow
    from nextclick.report.report_data import FailedRun
    from nextclick.report.run_folder import ModelRun


@dataclass(frozen=True, slots=True, eq=False)
class WindowRuns:
    """The completed and failed runs of one window."""

    window: Window
    store: Store
    completed: Sequence[ModelRun]
    failed: Sequence[FailedRun]


def backtest_numbers(windows: Sequence[WindowRuns], metric: str) -> dict[str, Any]:
    """Collect `windows`, `leaderboard` and `failed`.

    A model is in the leaderboard if it has a result in every window, because means over different
    windows are not comparable.
    """
    tables = [_rows(runs, metric) for runs in windows]
    complete = [label for label in tables[0] if all(label in table for table in tables)]
    rows = [_leaderboard_row(label, [table[label] for table in tables]) for label in complete]
    rows.sort(key=lambda row: (-row["metrics"][metric]["value"], row["label"]))
    if rows:
        best = [table[rows[0]["label"]] for table in tables]
        for rank, row in enumerate(rows, 1):
            others = [table[row["label"]] for table in tables]
            row["rank"] = rank
            row["difference"] = None if rank == 1 else asdict(_difference(best, others, metric))
    return {
        "windows": [_window(runs, table) for runs, table in zip(windows, tables, strict=True)],
        "leaderboard": rows,
        "failed": [
            {"window": runs.window.name, **asdict(run)} for runs in windows for run in runs.failed
        ],
    }


def _rows(runs: WindowRuns, metric: str) -> dict[str, LeaderboardRow]:
    """The mean over the seeds of each model, by label."""
    failed = {run.label for run in runs.failed}
    rows = leaderboard([run.result for run in runs.completed], metric=metric)
    labels = [row.results[0].label for row in rows]
    return {label: row for label, row in zip(labels, rows, strict=True) if label not in failed}


def _leaderboard_row(label: str, windows: Sequence[LeaderboardRow]) -> dict[str, Any]:
    first, metrics, deviation = windows[0], {}, {}
    for name in first.metrics:
        values = [row.metrics[name].value for row in windows]
        mean = mean_over_windows(values)
        if mean.low is not None and mean.high is not None:
            mean = replace(mean, low=max(mean.low, 0.0), high=min(mean.high, 1.0))
            deviation[name] = stdev(values)
        metrics[name] = asdict(mean)
    return {
        "label": label,
        "model": first.model,
        "config": first.config,
        "seeds": list(first.seeds),
        "leaky": first.leaky,
        "windows": len(windows),
        "metrics": metrics,
        "window_deviation": deviation,
    }


def _difference(
    best: Sequence[LeaderboardRow], others: Sequence[LeaderboardRow], metric: str
) -> Any:
    """The mean over the windows of a metric of the best model minus that of another."""
    pairs = zip(best, others, strict=True)
    return mean_over_windows([a.metrics[metric].value - b.metrics[metric].value for a, b in pairs])


def _window(runs: WindowRuns, table: dict[str, LeaderboardRow]) -> dict[str, Any]:
    window, counts = runs.window, runs.store.manifest["counts"]
    return {
        "window": window.name,
        "boundary": iso(window.boundary_ms),
        "boundary_ms": window.boundary_ms,
        "stop_ms": window.stop_ms,
        "data_fingerprint": runs.store.fingerprint,
        "train": counts["train"],
        "test": counts["test"],
        "counts": runs.completed[0].result.evaluation["counts"] if runs.completed else None,
        "models": [
            {
                "label": label,
                "metrics": {name: asdict(value) for name, value in row.metrics.items()},
                "training_seconds": [
                    run.costs.training_seconds
                    for run in runs.completed
                    if run.result.label == label and run.costs is not None
                ],
            }
            for label, row in table.items()
        ],
    }
