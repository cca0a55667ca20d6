"""Results on disk, and the table that puts only comparable ones side by side."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import write_json
from nextclick.errors import ConfigError, ProtocolError, nearest
from nextclick.evaluation.intervals import CONFIDENCE, Estimate
from nextclick.evaluation.significance import t_quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SCHEMA = "nextclick.evaluation/1"


@dataclass(frozen=True, slots=True)
class Result:
    """An evaluation with everything that says whether another may stand beside it.

    Attributes:
        model: name of the model.
        label: what a table calls it.
        config: parameters it was trained with, as JSON types.
        seed: of the training; results that differ in nothing else are averaged.
        data_fingerprint: of the store it was trained and tested on.
        protocol: field to value; two results are comparable if all of them are the same.
        evaluation: what `Evaluation.to_json` gives.
        leaky: why it could see what nobody knows when the recommendation is made; None if it
            could not.
        prequential: whether it took in each block of the test before the next one was asked about,
            as a model that is refreshed each day does; other models are not given that.
    """

    model: str
    label: str
    config: dict[str, Any]
    seed: int
    data_fingerprint: str
    protocol: dict[str, Any]
    evaluation: dict[str, Any]
    leaky: str | None = None
    prequential: bool = False

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Name such as "recall@20" to its value and interval."""
        return _metrics(self.evaluation)

    def to_json(self) -> dict[str, Any]:
        """As JSON types, with the version of the format."""
        return {"schema": SCHEMA} | asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Result:
        """Build from what `to_json` gave.

        Raises:
            ProtocolError: another format version, or a field that is missing or unknown.
        """
        schema = told.get("schema")
        if schema != SCHEMA:
            raise ProtocolError(
                f"schema must be {SCHEMA!r}, got {schema!r}; evaluate again with this version"
            )
        fields = {name: value for name, value in told.items() if name != "schema"}
        try:
            result = cls(**fields)
            _metrics(result.evaluation)
        except (AttributeError, KeyError, TypeError) as error:
            raise ProtocolError(f"this is no result of {SCHEMA}: {error}") from error
        return result

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote.

        Raises:
            ProtocolError: the file is missing, is not JSON or holds no result.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ProtocolError(f"{path}: cannot read the result: {error.strerror}") from error
        except ValueError as error:
            raise ProtocolError(f"{path}: a result is a JSON file, got {error}") from error
        if not isinstance(told, dict):
            raise ProtocolError(f"{path}: a result is a JSON object, got {type(told).__name__}")
        try:
            return cls.from_json(told)
        except ProtocolError as error:
            raise ProtocolError(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One line of a table: a model and config, over all seeds it was trained with.

    Attributes:
        model: name of the model.
        label: what the table calls it; names the leak if there is one, and says prequential.
        config: its parameters.
        seeds: of the trainings, ascending.
        metrics: name to mean over the seeds, with an interval (see `mean_over_seeds`).
        seed_deviation: name to standard deviation over the seeds; empty for a single one.
        leaky: why it could see what nobody knows, or None.
        prequential: whether it took in the test block by block.
        results: what the row sums up, one for each seed.
    """

    model: str
    label: str
    config: dict[str, Any]
    seeds: tuple[int, ...]
    metrics: dict[str, Estimate]
    seed_deviation: dict[str, float]
    leaky: str | None
    prequential: bool
    results: tuple[Result, ...]


def leaderboard(results: Sequence[Result], *, metric: str = "recall@20") -> list[LeaderboardRow]:
    """Return one row for each model and config, the best first.

    Args:
        results: made on the same data under the same protocol.
        metric: what to sort by.

    Raises:
        ProtocolError: results with other data or another protocol, or the same one twice.
        ConfigError: a result that has no such metric.
    """
    check_comparable(results)
    for result in results:
        if metric not in result.metrics:
            hint = nearest(metric, result.metrics)
            raise ConfigError(f"{result.label} has no metric {metric!r}: {hint}")
    rows = _told_apart([_row(group) for group in _groups(results)])
    return sorted(rows, key=lambda row: (-row.metrics[metric].value, row.label))


def _told_apart(rows: list[LeaderboardRow]) -> list[LeaderboardRow]:
    """Add to labels that stand twice the parameters in which their models differ."""
    found = []
    for row in rows:
        namesakes = [other for other in rows if other.label == row.label]
        differing = [
            name
            for name, value in row.config.items()
            if any(other.config.get(name) != value for other in namesakes)
        ]
        apart = " ".join([row.label, *(f"{name}={row.config[name]}" for name in differing)])
        found.append(replace(row, label=apart))
    return found


def check_comparable(results: Sequence[Result]) -> None:
    """Refuse results that were not made on the same data under the same protocol.

    Raises:
        ProtocolError: naming what differs, both values and what to do.
    """
    for other in results[1:]:
        first = results[0]
        differing = list(_differences(first, other))
        if differing:
            raise ProtocolError(
                f"{first.label} and {other.label} may not stand in one table: "
                f"{'; '.join(differing)}. Evaluate both on the same store with the same options, "
                "or make a table of each"
            )


def mean_over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of the same metric over trainings that differ in their seed.

    One training keeps its own interval, which says what other sessions could have shown of it.
    For n trainings the interval adds, in squares, two independent errors on each side: that of
    the sessions, as the mean of the n half-widths (all seeds saw the same sessions, so averaging
    seeds does not shrink it), and that of the seeds, t(n − 1) s/√n.
    """
    n = len(estimates)
    if n == 1:
        return estimates[0]
    mean = fmean(estimate.value for estimate in estimates)
    below = [e.value - e.low for e in estimates if e.low is not None]
    above = [e.high - e.value for e in estimates if e.high is not None]
    if len(below) < n or len(above) < n:
        return Estimate(mean)
    of_seeds = t_quantile(CONFIDENCE, n - 1) * stdev(e.value for e in estimates) / n**0.5
    return Estimate(
        value=mean,
        low=max(mean - (fmean(below) ** 2 + of_seeds**2) ** 0.5, 0.0),
        high=min(mean + (fmean(above) ** 2 + of_seeds**2) ** 0.5, 1.0),
    )


def _metrics(evaluation: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**told) for name, told in evaluation["metrics"].items()}


def _differences(first: Result, other: Result) -> Iterable[str]:
    if first.data_fingerprint != other.data_fingerprint:
        yield f"data_fingerprint is {first.data_fingerprint!r} and {other.data_fingerprint!r}"
    for name in sorted(first.protocol.keys() | other.protocol.keys()):
        one, two = (r.protocol.get(name, "not stated") for r in (first, other))
        if one != two:
            yield f"protocol.{name} is {one!r} and {two!r}"


def _groups(results: Sequence[Result]) -> list[list[Result]]:
    """Results that differ in their seed alone, by seed."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        told = [result.model, result.config, result.leaky, result.prequential]
        key = json.dumps(told, sort_keys=True)
        groups.setdefault(key, []).append(result)
    for group in groups.values():
        group.sort(key=lambda result: result.seed)
        for one, two in pairwise(group):
            if one.seed == two.seed:
                raise ProtocolError(
                    f"{one.label} and {two.label} are the same model, config and seed {one.seed}; "
                    "leave one of them out"
                )
    return list(groups.values())


def _label(result: Result) -> str:
    leaky = "" if result.leaky is None else f" (leaky: {result.leaky})"
    return result.label + leaky + (" (prequential)" if result.prequential else "")


def _row(group: list[Result]) -> LeaderboardRow:
    first = group[0]
    told = [result.metrics for result in group]
    shared = [name for name in told[0] if all(name in metrics for metrics in told)]
    return LeaderboardRow(
        model=first.model,
        label=_label(first),
        config=first.config,
        seeds=tuple(result.seed for result in group),
        metrics={name: mean_over_seeds([m[name] for m in told]) for name in shared},
        seed_deviation={
            name: stdev(metrics[name].value for metrics in told) for name in shared if len(told) > 1
        },
        leaky=first.leaky,
        prequential=first.prequential,
        results=tuple(group),
    )
