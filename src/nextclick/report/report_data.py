"""The data of a report as one JSON object; tables, figures and the page are made from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import parse_metric
from nextclick.evaluation import leaderboard
from nextclick.models.model_registry import find_capabilities
from nextclick.report.accuracy_breakdowns import by_cutoff, by_length, variants
from nextclick.report.segment_tables import by_segment
from nextclick.report.significant_differences import pairwise_differences
from nextclick.report.summary import summarize
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.evaluation import LeaderboardRow
    from nextclick.report.run_folder import ModelRun

SCHEMA = "nextclick.comparison/2"
_AVERAGED_COSTS = ("training_seconds", "epochs", "iterations_per_second", "samples_per_second")
_PEAK_COSTS = ("memory_bytes", "device_memory_bytes", "size_bytes")


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A training or evaluation without a result."""

    label: str
    seed: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """A row of the leaderboard with its runs, one per seed."""

    label: str
    row: LeaderboardRow
    runs: tuple[ModelRun, ...]
    deterministic: bool


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report needs besides its runs.

    Attributes:
        name: name of the log.
        metric: metric that sorts the leaderboard and whose differences are tested.
        against: label of the model that gains by session length are relative to; None is the
            runner-up.
        failed: runs without a result.
        pending: labels of runs that have not finished yet.
    """

    name: str
    metric: str
    against: str | None = None
    failed: Sequence[FailedRun] = field(default_factory=tuple)
    pending: Sequence[str] = field(default_factory=tuple)


def build_comparison(runs: Sequence[ModelRun], options: ReportOptions) -> dict[str, Any]:
    """Collect the data of a report.

    Args:
        runs: runs on the same data under the same protocol.
        options: everything else the report needs.

    Raises:
        ProtocolError: runs differ in data or protocol, or a run occurs twice.
        ConfigError: the runs do not have the metric.
    """
    entries = leaderboard_entries(runs, options.metric)
    _, k = parse_metric(options.metric)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "nextclick": __version__,
        "name": options.name,
        "metric": options.metric,
        "k": k,
        "failed": [asdict(run) for run in options.failed],
        "pending": list(options.pending),
    }
    if not entries:
        return data | {"leaderboard": []}
    first = entries[0].row.results[0]
    data |= {
        "data_fingerprint": first.data_fingerprint,
        "protocol": first.protocol,
        "counts": first.evaluation["counts"],
        "predicted": first.evaluation.get("predicted"),
        "machines": sorted({run.costs.machine for run in runs if run.costs is not None}),
        "leaderboard": [_row(rank, entry, k) for rank, entry in enumerate(entries, 1)],
        **pairwise_differences(entries, options.metric),
        "by_length": by_length(entries, options.against, k),
        "cutoffs": by_cutoff(entries),
        "segments": by_segment(entries),
    }
    data["variants"] = variants(data["leaderboard"], data["pairs"])
    return data | {"summary": summarize(data)}


def leaderboard_entries(runs: Sequence[ModelRun], metric: str) -> list[LeaderboardEntry]:
    """Group the runs by model and parameters, best first.

    Raises:
        ProtocolError: see `leaderboard`.
        ConfigError: see `leaderboard`.
    """
    rows = leaderboard([run.result for run in runs], metric=metric)
    run_of_result: dict[int, ModelRun] = {id(run.result): run for run in runs}
    uses_of_label = Counter(row.results[0].label for row in rows)
    return [
        LeaderboardEntry(
            _unique_label(row, uses_of_label),
            row,
            tuple(run_of_result[id(result)] for result in row.results),
            _deterministic(row.model),
        )
        for row in rows
    ]


def _deterministic(model: str) -> bool:
    """Whether every seed gives the same model; False if the model is not installed."""
    capabilities = find_capabilities(model)
    return capabilities is not None and capabilities.deterministic


def _unique_label(row: LeaderboardRow, uses_of_label: Counter[str]) -> str:
    """The label of the result or, if several rows share it, the label with their parameters."""
    label = row.results[0].label
    return label if uses_of_label[label] == 1 else row.label


def _row(rank: int, entry: LeaderboardEntry, k: int) -> dict[str, Any]:
    row = entry.row
    evaluations = [run.result.evaluation for run in entry.runs]
    popularity = [e["popularity"].get(f"popularity@{k}") for e in evaluations]
    measured = [e.get("diversity", {}).get(f"diversity@{k}") for e in evaluations]
    diversity = [value for value in measured if value is not None]
    return {
        "rank": rank,
        "label": entry.label,
        "model": row.model,
        "config": row.config,
        "seeds": list(row.seeds),
        "deterministic": entry.deterministic,
        "metrics": {name: asdict(estimate) for name, estimate in row.metrics.items()},
        "seed_deviation": row.seed_deviation,
        "leaky": row.leaky,
        "prequential": row.prequential,
        "coverage": fmean(e["coverage"][f"coverage@{k}"] for e in evaluations),
        "popularity": _mean_by_key([values for values in popularity if values is not None]),
        "diversity": fmean(diversity) if diversity else None,
        "costs": _costs(entry.runs),
        "folders": [run.folder.name for run in entry.runs],
    }


def _costs(runs: Sequence[ModelRun]) -> dict[str, Any] | None:
    """Mean costs over the seeds; for memory and size, the maximum."""
    measured = [run.costs for run in runs if run.costs is not None]
    if not measured:
        return None
    costs: dict[str, Any] = {}
    for cost in fields(measured[0]):
        values = [getattr(run_costs, cost.name) for run_costs in measured]
        present = [value for value in values if value is not None]
        if cost.name in _AVERAGED_COSTS:
            costs[cost.name] = fmean(present) if present else None
        elif cost.name in _PEAK_COSTS:
            costs[cost.name] = max(present, default=None)
        elif cost.name == "response_ms":
            costs[cost.name] = _mean_by_key(present)
        elif cost.name in ("device", "threads"):
            costs[cost.name] = values[0]
    return costs


def _mean_by_key(objects: Sequence[dict[str, float]]) -> dict[str, float] | None:
    if not objects:
        return None
    return {name: fmean(values[name] for values in objects) for name in objects[0]}
