"""All that a report says, as one object of JSON types; tables, figures and page are made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nextclick.evaluation import leaderboard
from nextclick.models.model_registry import known_capabilities
from nextclick.report.ablation import variants
from nextclick.report.accuracy_by_cutoff import at_cutoffs
from nextclick.report.accuracy_by_length import by_length
from nextclick.report.significant_differences import differences
from nextclick.report.summary import summarized
from nextclick.training.training_config import parse_metric
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.evaluation import LeaderboardRow, Result
    from nextclick.report.run_folder import Run

SCHEMA = "nextclick.comparison/1"
_MEANS = ("training_seconds", "epochs", "iterations_per_second", "samples_per_second")
_MOST = ("memory_bytes", "device_memory_bytes", "size_bytes")


@dataclass(frozen=True, slots=True)
class Failed:
    """A training or evaluation that gave nothing, and why."""

    label: str
    seed: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the leaderboard with its trainings, by seed."""

    label: str
    row: LeaderboardRow
    runs: tuple[Run, ...]
    deterministic: bool


@dataclass(frozen=True, slots=True)
class About:
    """What a report is told besides its runs.

    Attributes:
        name: of the log.
        metric: what the table is sorted by, and what is claimed about.
        against: label of the model that gains by prefix length are relative to; None is the
            runner-up.
        failed: what gave nothing.
        waiting: labels of what is not done yet.
    """

    name: str
    metric: str
    against: str | None = None
    failed: Sequence[Failed] = field(default_factory=tuple)
    waiting: Sequence[str] = field(default_factory=tuple)


def comparison(runs: Sequence[Run], about: About) -> dict[str, Any]:
    """Everything that a report says.

    Args:
        runs: made on the same data under the same protocol.
        about: the rest.

    Raises:
        ProtocolError: runs with other data or another protocol, or the same one twice.
        ConfigError: a metric that they do not have.
    """
    entries = entries_of(runs, about.metric)
    _, k = parse_metric(about.metric)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "nextclick": __version__,
        "name": about.name,
        "metric": about.metric,
        "k": k,
        "failed": [asdict(one) for one in about.failed],
        "waiting": list(about.waiting),
    }
    if not entries:
        return found | {"leaderboard": []}
    first = entries[0].row.results[0]
    found |= {
        "data_fingerprint": first.data_fingerprint,
        "protocol": first.protocol,
        "counts": first.evaluation["counts"],
        "machines": sorted({run.costs.machine for run in runs if run.costs is not None}),
        "leaderboard": [_row(place, entry, k) for place, entry in enumerate(entries, 1)],
        **differences(entries, about.metric),
        "by_length": by_length(entries, about.against, k),
        "cutoffs": at_cutoffs(entries),
    }
    found["variants"] = variants(found["leaderboard"], found["pairs"])
    return found | {"summary": summarized(found)}


def entries_of(runs: Sequence[Run], metric: str) -> list[Entry]:
    """The lines of the leaderboard, the best first.

    Raises:
        ProtocolError: as `leaderboard`.
        ConfigError: as `leaderboard`.
    """
    rows = leaderboard([run.result for run in runs], metric=metric)
    by_result: dict[int, Run] = {id(run.result): run for run in runs}
    times = Counter(row.results[0].label for row in rows)
    return [
        Entry(
            _label(row, row.results[0], times),
            row,
            tuple(by_result[id(result)] for result in row.results),
            _deterministic(row.model),
        )
        for row in rows
    ]


def _deterministic(model: str) -> bool:
    """Whether another seed would give the same model; assumed not, where it is not installed."""
    capabilities = known_capabilities(model)
    return capabilities is not None and capabilities.deterministic


def _label(row: LeaderboardRow, first: Result, times: Counter[str]) -> str:
    """What it was called, or, where two are called so, with what tells them apart."""
    return first.label if times[first.label] == 1 else row.label


def _row(place: int, entry: Entry, k: int) -> dict[str, Any]:
    row = entry.row
    evaluations = [run.result.evaluation for run in entry.runs]
    popularity = [e["popularity"].get(f"popularity@{k}") for e in evaluations]
    return {
        "place": place,
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
        "popularity": _mean_of_each([one for one in popularity if one is not None]),
        "costs": _costs(entry.runs),
        "folders": [run.folder.name for run in entry.runs],
    }


def _costs(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Means over the seeds; of memory and size, the most."""
    known = [run.costs for run in runs if run.costs is not None]
    if not known:
        return None
    found: dict[str, Any] = {}
    for each in fields(known[0]):
        values = [getattr(one, each.name) for one in known]
        there = [value for value in values if value is not None]
        if each.name in _MEANS:
            found[each.name] = fmean(there) if there else None
        elif each.name in _MOST:
            found[each.name] = max(there, default=None)
        elif each.name == "answer_ms":
            found[each.name] = _mean_of_each(there)
        elif each.name in ("device", "threads"):
            found[each.name] = values[0]
    return found


def _mean_of_each(objects: Sequence[dict[str, float]]) -> dict[str, float] | None:
    if not objects:
        return None
    return {name: fmean(one[name] for one in objects) for name in objects[0]}
