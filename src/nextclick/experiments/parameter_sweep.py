"""One or two parameters of a model against what they give and what they cost."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import write_csv, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, StoppedError
from nextclick.evaluation import Result
from nextclick.evaluation.results import mean_over_seeds
from nextclick.experiments.artifact_evaluation import evaluate
from nextclick.experiments.checkpoint_paths import has_checkpoint
from nextclick.experiments.model_candidate import candidate_for
from nextclick.experiments.model_training import train
from nextclick.experiments.parameter_grid import checked_grid, grid_points
from nextclick.experiments.requirements import check_needs, need_matplotlib
from nextclick.experiments.response_time import answer_time
from nextclick.experiments.resumable_folder import growing_folder
from nextclick.experiments.run_cache import step_seconds
from nextclick.training.interrupt import Interrupt
from nextclick.training.training_config import NeuralOptions, checked_cutoff
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.types import Progress
    from nextclick.experiments.model_candidate import ModelCandidate
    from nextclick.experiments.search_options import SweepOptions

SCHEMA, KIND = "nextclick.sweep/1", "nextclick.sweep"
NUMBERS, TABLE, FIGURE = "sweep.json", "sweep.csv", "sweep"  # the figure as .png and .svg
_RUNS = "runs"
_QUERIES = 200  # sessions that are asked for one at a time


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found.

    Attributes:
        path: its folder.
        numbers: what `sweep.json` says.
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
) -> Swept:
    """Train a model at every point of one or two parameters, and measure accuracy and time.

    A training that was done is kept by the fingerprint of its data, parameters and seed: the same
    call goes on where it was stopped, and more values or seeds train what is new.

    Args:
        store: open, or its folder.
        model: name, as `nextclick models` lists them.
        output: folder of the sweep, new or of the same sweep.
        options: what to vary, and how it is measured.
        overwrite: begin anew where there is a sweep.
        progress: told trainings done of all.

    Raises:
        ConfigError: an option or parameter that does not fit, no matplotlib, or another sweep in
            the folder.
        StoreError: the store cannot be read.
        OutputError: the folder holds something else or cannot be written.
        TrainingError: a loss, gradient or weight that is not finite.
        StoppedError: Ctrl-C; what was done is in the folder.
    """
    need_matplotlib("sweep")
    opened = store if isinstance(store, Store) else Store.open(store)
    contender, grid = _checked(model, options, opened)
    folder = Path(output)
    work = {
        "model": model,
        "preset": options.preset,
        "metric": options.metric,
        "part": options.part,
        "params": list(grid),
        "fixed": {name: contender.parameters({})[name] for name in contender.fixed},
        "data_fingerprint": opened.fingerprint,
    }
    with growing_folder(folder, KIND, work, overwrite=overwrite):
        runs = _Runs(opened, contender, options, folder / _RUNS, progress)
        points = runs.measured(grid_points(grid))
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            **work,
            "params": grid,
            "seeds": options.seeds,
            "protocol": opened.protocol["name"] or "own",
            "points": points,
        }
        _write(folder, numbers, opened.path.resolve().name)
    return Swept(folder, numbers)


def _checked(
    model: str, options: SweepOptions, store: Store
) -> tuple[ModelCandidate, dict[str, list[Any]]]:
    if not 1 <= len(options.params) <= 2:
        raise ConfigError(
            f"params must name one parameter or two, got {', '.join(options.params) or 'none'}"
        )
    if options.part not in ("valid", "test"):
        raise ConfigError(f"part must be test or valid to be ranked, got {options.part!r}")
    if options.seeds < 1:
        raise ConfigError(f"seeds must be 1 or more, got {options.seeds}")
    checked_cutoff(options.metric, len(store.items))
    contender = candidate_for(model, options.preset, options.fixed, options.metric, options.params)
    grid = checked_grid(contender, options.params)
    for point in grid_points(grid):
        config, _ = contender.configs(point)
        check_needs(contender.model, config, store)
    return contender, grid


class _Runs:
    """The trainings of a sweep, each kept in a file that is named by what it was given."""

    def __init__(
        self,
        store: Store,
        contender: ModelCandidate,
        options: SweepOptions,
        folder: Path,
        progress: Progress,
    ):
        self.store = store
        self.contender = contender
        self.options = options
        self.folder = folder
        self.progress = progress
        self.done = 0

    def measured(self, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Every point with all of its seeds.

        Raises:
            StoppedError: Ctrl-C.
        """
        self.total = len(points) * self.options.seeds
        with Interrupt() as self.interrupt:
            try:
                return [self._point(point) for point in points]
            except (StoppedError, KeyboardInterrupt):
                raise StoppedError(
                    f"stopped after {self.done} of {self.total} trainings; what is done is kept in "
                    f"{self.folder}: say the same again to go on"
                ) from None

    def _point(self, point: Mapping[str, Any]) -> dict[str, Any]:
        runs = [self._run(point, seed) for seed in range(self.options.seeds)]
        estimates = [Result.from_json(run["result"]).metrics[self.options.metric] for run in runs]
        mean = mean_over_seeds(estimates)
        deviation = stdev(one.value for one in estimates) if len(estimates) > 1 else None
        return {
            "parameters": dict(point),
            "value": mean.value,
            "low": mean.low,
            "high": mean.high,
            "seed_deviation": deviation,
            "training_seconds": _spread([run["training_seconds"] for run in runs]),
            "scoring_ms": _spread([run["scoring_ms"] for run in runs]),
            "leaky": runs[0]["result"]["leaky"],
        }

    def _run(self, point: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """What one training gave, from its file if it was done before."""
        options, parameters = self.options, self.contender.parameters(point)
        given = [self.store.fingerprint, self.contender.name, parameters, seed, options.part]
        told = json.dumps([*given, options.metric], sort_keys=True).encode()
        file = self.folder / f"{hashlib.blake2b(told, digest_size=16).hexdigest()}.json"
        if not file.exists():
            if self.interrupt.asked:
                raise KeyboardInterrupt
            write_json(file, self._measure(point, seed, file.with_suffix(".training")))
            shutil.rmtree(file.with_suffix(".training"), ignore_errors=True)
        self.done += 1
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def _measure(self, point: Mapping[str, Any], seed: int, place: Path) -> dict[str, Any]:
        options, contender = self.options, self.contender
        neural = None
        if contender.neural:
            resume = has_checkpoint(place)
            neural = NeuralOptions(options.preset, options.device, place, resume)
        artifact = train(
            self.store,
            contender.name,
            config={**contender.fixed, **point},
            train_on="inner" if options.part == "valid" else "all",
            seed=seed,
            neural=neural,
            progress=self._told,
        )
        k = checked_cutoff(options.metric, len(self.store.items))
        result = evaluate(artifact, self.store, part=options.part, ks=[k], progress=self._told)
        sessions = self.store.part(options.part)
        return {
            "parameters": dict(point),
            "seed": seed,
            "training_seconds": step_seconds(artifact.trained),
            "scoring_ms": answer_time(artifact, sessions, k, queries=_QUERIES).median,
            "result": result.to_json(),
        }

    def _told(self, stage: str, done: int, total: int | None) -> None:
        if self.interrupt.asked:
            raise KeyboardInterrupt
        share = f" {100 * done / total:.0f} %" if total else ""
        text = f"sweep · training {self.done + 1} of {self.total} · {stage}{share}"
        self.progress(text, self.done, self.total)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "least": min(values), "most": max(values)}


def _write(folder: Path, numbers: dict[str, Any], name: str) -> None:
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
            "scoring_ms_p50": point["scoring_ms"]["mean"],
        }
        for point in numbers["points"]
    ]
    write_csv(folder / TABLE, rows)
    _draw(folder, numbers, name)


def _draw(folder: Path, numbers: dict[str, Any], name: str) -> None:
    from nextclick.analysis.plots.sweep_plot import (
        draw_sweep,  # matplotlib takes a second to import
    )

    for kind in ("png", "svg"):
        draw_sweep(numbers, folder / f"{FIGURE}.{kind}", name=name)
