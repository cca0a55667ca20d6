"""Measure accuracy and cost of a model over a grid of one or two parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nextclick.core.cutoffs import catalog_metric
from nextclick.core.metrics import parse_metric
from nextclick.core.storage import write_csv, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.evaluation import leaderboard
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.cached_run import CachedRun, Measurement
from nextclick.experiments.comparison_options import training_part
from nextclick.experiments.model_candidate import ModelCandidate, candidate_for
from nextclick.experiments.model_specs import ModelSpec
from nextclick.experiments.parameter_grid import checked_grid, grid_points
from nextclick.experiments.requirements import check_store, require_matplotlib
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.run_series import RunSeries
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.types import Progress
    from nextclick.experiments.search_options import SweepOptions
    from nextclick.report.run_folder import ModelRun

SCHEMA, KIND = "nextclick.sweep/1", "nextclick.sweep"
NUMBERS, TABLE, FIGURE = "sweep.json", "sweep.csv", "sweep"  # the figure as .png and .svg
_RUNS = "runs"
_OUTPUTS = (NUMBERS, TABLE, _RUNS, f"{FIGURE}.png", f"{FIGURE}.svg")
_QUERIES = 200  # per point, to measure latency


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        path: its folder.
        numbers: content of `sweep.json`.
    """

    path: Path
    numbers: dict[str, Any]


def sweep(
    store: Store | str | Path,
    model: str,
    output: str | Path,
    options: SweepOptions,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SweepResult:
    """Train a model at every point of a grid, and measure accuracy, training time and latency.

    Completed trainings are cached, as those of `compare`: the same call resumes an interrupted
    sweep, and additional values or seeds train only what is new.

    Args:
        store: a store or its folder.
        model: a name that `nextclick models` lists.
        output: folder of the sweep, new or of the same sweep.
        options: parameters and measurement.
        overwrite: replace an existing sweep.
        progress: receives hundredths of trainings.

    Raises:
        ConfigError: an invalid option or parameter, matplotlib is not installed, or the folder
            holds another sweep.
        StoreError: the store cannot be read.
        OutputError: the folder holds other files or cannot be written.
        TrainingError: a loss, gradient or weight is not finite.
        InterruptedRunError: Ctrl-C; completed trainings are in the folder.
    """
    require_matplotlib("sweep")
    store = store if isinstance(store, Store) else Store.open(store, progress)
    options = replace(options, metric=catalog_metric(options.metric, len(store.items)))
    candidate, grid = _checked(model, options, store)
    folder, points = Path(output), grid_points(grid)
    series = RunSeries("sweep", _runs(store, candidate, points, options), progress)
    scope = _scope(store, candidate, grid, options)
    with RunCache.locked(folder, KIND, scope, outputs=_OUTPUTS, overwrite=overwrite):
        if not series.execute(RunCache(folder / _RUNS), skip_failures=False):
            raise InterruptedRunError(
                f"stopped after {series.done} of {series.total} trainings; completed ones are kept "
                f"in {folder}: rerun the same command to continue"
            )
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            **scope,
            "params": grid,
            "seeds": options.seeds,
            "protocol": store.protocol["name"] or "own",
            "points": [
                _point(point, series.completed[n * options.seeds :][: options.seeds], options)
                for n, point in enumerate(points)
            ],
        }
        _write(folder, numbers, store.path.resolve().name)
    return SweepResult(folder, numbers)


def _checked(
    model: str, options: SweepOptions, store: Store
) -> tuple[ModelCandidate, dict[str, list[Any]]]:
    if not 1 <= len(options.params) <= 2:
        raise ConfigError(
            f"params must name one or two parameters, got {', '.join(options.params) or 'none'}"
        )
    if options.part not in ("valid", "test"):
        raise ConfigError(f"part must be test or valid, got {options.part!r}")
    training_part(options.train_on, options.part)
    if options.seeds < 1:
        raise ConfigError(f"seeds must be 1 or more, got {options.seeds}")
    candidate = candidate_for(model, options.preset, options.fixed, options.metric, options.params)
    grid = checked_grid(candidate, options.params)
    for point in grid_points(grid):
        config, _ = candidate.configs(point)
        check_store(candidate.model, config, store)
    return candidate, grid


def _scope(
    store: Store, candidate: ModelCandidate, grid: Mapping[str, Any], options: SweepOptions
) -> dict[str, Any]:
    """The settings that all runs of one sweep share."""
    return {
        "model": candidate.name,
        "preset": options.preset,
        "metric": options.metric,
        "part": options.part,
        "trained_on": training_part(options.train_on, options.part),
        "params": list(grid),
        "fixed": {name: candidate.parameters({})[name] for name in candidate.fixed},
        "data_fingerprint": store.fingerprint,
    }


def _runs(
    store: Store,
    candidate: ModelCandidate,
    points: Sequence[Mapping[str, Any]],
    options: SweepOptions,
) -> list[CachedRun]:
    """One run for each point and seed."""
    measurement = Measurement(
        part=options.part,
        train_part=training_part(options.train_on, options.part),
        ks=(parse_metric(options.metric)[1],),
        protocol=store_protocol(store),
        device=options.device,
        queries=_QUERIES,
        keep_artifact=False,
    )
    runs = []
    for point in points:
        label = "+".join(f"{name}={value}" for name, value in point.items())
        fixed = {**candidate.fixed, **point}
        model_spec = ModelSpec(label, ModelCandidate(candidate.name, candidate.preset, fixed))
        runs += [CachedRun(store, model_spec, seed, measurement) for seed in range(options.seeds)]
    return runs


def _point(
    point: Mapping[str, Any], runs: Sequence[ModelRun], options: SweepOptions
) -> dict[str, Any]:
    """Mean and range over the seeds of one point."""
    (row,) = leaderboard([run.result for run in runs], metric=options.metric)
    mean = row.metrics[options.metric]
    costs = [run.costs for run in runs if run.costs is not None]
    return {
        "parameters": dict(point),
        "value": mean.value,
        "low": mean.low,
        "high": mean.high,
        "seed_deviation": row.seed_deviation.get(options.metric),
        "training_seconds": _range([cost.training_seconds for cost in costs]),
        "processor_seconds": _known_range([cost.processor_seconds for cost in costs]),
        "response_ms": _range([cost.response_ms["median"] for cost in costs]),
        "leaky": row.leaky,
    }


def _known_range(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return _range(known) if known else None


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "min": min(values), "max": max(values)}


def _write(folder: Path, numbers: dict[str, Any], store_name: str) -> None:
    write_json(folder / NUMBERS, numbers)
    rows = [
        {
            **point["parameters"],
            "part": numbers["part"],
            numbers["metric"]: point["value"],
            "low": point["low"],
            "high": point["high"],
            "seeds": numbers["seeds"],
            "training_seconds": point["training_seconds"]["mean"],
            "processor_seconds": (point["processor_seconds"] or {}).get("mean"),
            "response_ms_p50": point["response_ms"]["mean"],
        }
        for point in numbers["points"]
    ]
    write_csv(folder / TABLE, rows)
    _draw(folder, numbers, store_name)


def _draw(folder: Path, numbers: dict[str, Any], store_name: str) -> None:
    # importing matplotlib takes a second
    from nextclick.analysis.plots.sweep_plot import draw_sweep

    for suffix in ("png", "svg"):
        draw_sweep(numbers, folder / f"{FIGURE}.{suffix}", name=store_name)
