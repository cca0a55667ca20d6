"""Leaderboards of comparable results."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from nextclick.core.display import Display, Displayed
from nextclick.core.metrics import metric_label
from nextclick.errors import ConfigError, ProtocolError, nearest
from nextclick.evaluation.intervals import CONFIDENCE, Estimate
from nextclick.evaluation.results import Result, label_of, percent_of
from nextclick.evaluation.significance import t_quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """A row of a leaderboard: a model and config over all its seeds.

    Attributes:
        model: name of the model.
        label: name in the table, with "leaky" and "prequential" where they apply.
        config: parameters of model and training.
        seeds: seeds of the trainings, ascending.
        metrics: name to mean over the seeds, with a confidence interval (see `mean_over_seeds`).
        seed_deviation: name to standard deviation over the seeds; empty for a single seed.
        leaky: as in `Result`.
        prequential: as in `Result`.
        results: the results of the row, one per seed.
    """

    model: str
    label: str
    config: dict[str, Any]
    seeds: tuple[int, ...]
    metrics: dict[str, Estimate]
    seed_deviation: dict[str, float]
    leaky: str | None
    prequential: bool
    results: tuple[Result, ...] = field(repr=False)


class Leaderboard(Displayed, list[LeaderboardRow]):
    """The rows of a leaderboard, best first."""

    def display(self) -> Display:
        """What is shown of the leaderboard: the metrics of each row, in percent."""
        if not self:
            return Display("Leaderboard of 0 models")
        shared = [name for name in self[0].metrics if all(name in row.metrics for row in self)]
        k = max(int(name.partition("@")[2]) for name in shared)
        shown = [name for name in shared if name.endswith(f"@{k}")]
        return Display(
            f"Leaderboard of {len(self)} models, in percent",
            {"data": self[0].results[0].data_fingerprint},
            ("model", *map(metric_label, shown)),
            [[row.label, *(percent_of(row.metrics[name])[0] for name in shown)] for row in self],
        )


def leaderboard(results: Sequence[Result], *, metric: str = "recall@20") -> Leaderboard:
    """Return one row for each model and config, best first.

    Args:
        results: results with the same data and protocol.
        metric: metric to sort by.

    Raises:
        ProtocolError: results differ in data or protocol, or a result occurs twice.
        ConfigError: a result does not have the metric.
    """
    check_comparable(results)
    for result in results:
        if metric not in result.metrics:
            hint = nearest(metric, result.metrics)
            raise ConfigError(f"{result.label} has no metric {metric!r}: {hint}")
    rows = _with_distinct_labels([_row(group) for group in _groups(results)])
    return Leaderboard(sorted(rows, key=lambda row: (-row.metrics[metric].value, row.label)))


def _with_distinct_labels(rows: list[LeaderboardRow]) -> list[LeaderboardRow]:
    """Append to duplicate labels the parameters in which their models differ."""
    labeled = []
    for row in rows:
        duplicates = [other for other in rows if other.label == row.label]
        differing = [
            name
            for name, value in row.config.items()
            if any(other.config.get(name) != value for other in duplicates)
        ]
        label = " ".join([row.label, *(f"{name}={row.config[name]}" for name in differing)])
        labeled.append(replace(row, label=label))
    return labeled


def check_comparable(results: Sequence[Result]) -> None:
    """Check that results have the same data and protocol.

    Raises:
        ProtocolError: they do not; the message names the fields and their values.
    """
    for other in results[1:]:
        first = results[0]
        differing = list(_differences(first, other))
        if differing:
            raise ProtocolError(
                f"{first.label} and {other.label} are not comparable: "
                f"{'; '.join(differing)}. Evaluate both on the same store with the same options, "
                "or make a separate table of each"
            )


def mean_over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of a metric over trainings that differ in the seed only.

    A single training keeps its interval, which covers the sampling of sessions. For n trainings,
    each half-width is the root of the sum of squares of two independent errors. The error of the
    sessions is the mean of the n half-widths, because all seeds use the same sessions and averaging
    over seeds does not reduce it. The error of the seeds is t(n − 1) s/√n.
    """
    n = len(estimates)
    if n == 1:
        return estimates[0]
    mean = fmean(estimate.value for estimate in estimates)
    below = [e.value - e.low for e in estimates if e.low is not None]
    above = [e.high - e.value for e in estimates if e.high is not None]
    if len(below) < n or len(above) < n:
        return Estimate(mean)
    seed_error = t_quantile(CONFIDENCE, n - 1) * stdev(e.value for e in estimates) / n**0.5
    return Estimate(
        value=mean,
        low=max(mean - (fmean(below) ** 2 + seed_error**2) ** 0.5, 0.0),
        high=min(mean + (fmean(above) ** 2 + seed_error**2) ** 0.5, 1.0),
    )


def _differences(first: Result, other: Result) -> Iterable[str]:
    if first.data_fingerprint != other.data_fingerprint:
        yield f"data_fingerprint is {first.data_fingerprint!r} and {other.data_fingerprint!r}"
    for name in sorted(first.protocol.keys() | other.protocol.keys()):
        # a missing field is that of an earlier version, where null was the only value
        values = [result.protocol.get(name) for result in (first, other)]
        if values[0] != values[1]:
            shown = ["not stated" if value is None else value for value in values]
            yield f"protocol.{name} is {shown[0]!r} and {shown[1]!r}"


def _groups(results: Sequence[Result]) -> list[list[Result]]:
    """Groups of results that differ in the seed only, ordered by seed."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        identity = [result.model, result.config, result.leaky, result.prequential]
        key = json.dumps(identity, sort_keys=True)
        groups.setdefault(key, []).append(result)
    for group in groups.values():
        group.sort(key=lambda result: result.seed)
        for result, following in pairwise(group):
            if result.seed == following.seed:
                raise ProtocolError(
                    f"{result.label} and {following.label} are the same model, config and seed "
                    f"{result.seed}; omit one of them"
                )
    return list(groups.values())


def _row(group: list[Result]) -> LeaderboardRow:
    first = group[0]
    all_metrics = [result.metrics for result in group]
    shared = [name for name in all_metrics[0] if all(name in m for m in all_metrics)]
    return LeaderboardRow(
        model=first.model,
        label=label_of(first),
        config=first.config,
        seeds=tuple(result.seed for result in group),
        metrics={name: mean_over_seeds([m[name] for m in all_metrics]) for name in shared},
        seed_deviation={
            name: stdev(metrics[name].value for metrics in all_metrics)
            for name in shared
            if len(group) > 1
        },
        leaky=first.leaky,
        prequential=first.prequential,
        results=tuple(group),
    )
