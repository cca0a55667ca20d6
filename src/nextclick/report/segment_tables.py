"""Metrics of all models by segment."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nextclick.evaluation import Estimate
from nextclick.evaluation.leaderboard import mean_over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.report.report_data import LeaderboardEntry

TITLES = {
    "target": "By target: repeat (clicked before in the session) or new",
    "prefix-length": "By clicks before the target",
    "popularity": "By popularity of the target: decile by clicks in training, 10 is the highest",
    "user": "By user: known (with a session in training) or new",
    "earlier-sessions": "By number of earlier sessions of the user",
}


def by_segment(entries: Sequence[LeaderboardEntry]) -> list[dict[str, Any]]:
    """The segmentations that all results have.

    Returns:
        For each, its `name`, a `title` and `rows`, each with `segment`, `prefixes`, `sessions` and
        `metrics`: label to metric to the mean over the seeds, with its interval.
    """
    evaluations = [
        [run.result.evaluation.get("segments", {}) for run in entry.runs] for entry in entries
    ]
    first = evaluations[0][0]
    shared = [name for name in first if all(name in run for runs in evaluations for run in runs)]
    return [
        {
            "name": name,
            "title": TITLES.get(name, f"By {name}"),
            "rows": [
                {
                    "segment": row["segment"],
                    "prefixes": row["prefixes"],
                    "sessions": row["sessions"],
                    "metrics": {
                        entry.label: _mean_metrics(runs, name, row["segment"])
                        for entry, runs in zip(entries, evaluations, strict=True)
                    },
                }
                for row in first[name]
            ],
        }
        for name in shared
    ]


def _mean_metrics(runs: Sequence[dict[str, Any]], name: str, segment: str) -> dict[str, Any]:
    """The mean over the seeds of every metric of one segment."""
    (first, *others) = (
        row["metrics"] for run in runs for row in run[name] if row["segment"] == segment
    )
    return {
        metric: asdict(mean_over_seeds([Estimate(**m[metric]) for m in (first, *others)]))
        for metric in first
    }
