"""Train and evaluate models in consecutive windows of time, each trained on its past alone."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.config import build_config
from nextclick.core.storage import write_csv, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.data.window_stores import WindowLog
from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.backtest_numbers import WindowRuns, backtest_numbers
from nextclick.experiments.backtest_options import BacktestOptions, WindowOptions
from nextclick.experiments.cached_run import CachedRun, Measurement
from nextclick.experiments.checked_measurement import check_seeds, checked_cutoffs
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.run_series import RunSeries
from nextclick.models.model_registry import BASELINES
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextclick.core.types import Progress
    from nextclick.data.window_stores import Window
    from nextclick.experiments.model_specs import ModelSpec

SCHEMA, KIND = "nextclick.backtest/1", "nextclick.backtest"
NUMBERS, TABLE = "backtest.json", "backtest.csv"
_RUNS, _STORES = "runs", "windows"  # each with a folder for every window
_OUTPUTS = (NUMBERS, TABLE, _RUNS, _STORES)


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """The outcome of a backtest.

    Attributes:
        path: its folder; None if there is none.
        numbers: content of `backtest.json`.
    """

    path: Path | None
    numbers: dict[str, Any]


def backtest(
    store: Store | str | Path,
    models: Sequence[str] = BASELINES,
    output: str | Path | None = None,
    options: BacktestOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BacktestResult:
    """Train and measure models in each of several windows, and average over the windows.

    Each window trains on the sessions of the store that end before its boundary. Vocabularies and
    filters are those of these sessions, so later clicks affect neither the training nor the model.
    Completed trainings are cached in the folder: the same call resumes an interrupted backtest,
    and additional models or seeds train what is new.

    Args:
        store: a store or its folder; all of its sessions are used.
        models: models, presets and recipes, in the syntax of `nextclick.experiments.model_specs`.
        output: folder of the backtest, new or of the same windows; None keeps nothing.
        options: windows, training and measurement.
        overwrite: replace an existing backtest.
        progress: receives hundredths of trainings.

    Raises:
        ConfigError: an invalid option, model or parameter, a log without times, or the folder
            holds a backtest of other windows.
        EmptyLogError: a window has no training or no test session.
        StoreError: the store cannot be read.
        OutputError: the folder holds other files or cannot be written.
        InterruptedRunError: Ctrl-C; completed trainings are in the folder.
    """
    options = options or BacktestOptions()
    store = store if isinstance(store, Store) else Store.open(store, progress)
    model_specs = parse_model_specs(models, options.settings)
    measurement, metric = _checked(options, model_specs, store)
    chosen = build_config(WindowOptions, asdict(options.windows), "backtest")
    log = WindowLog.read(store, chosen.min_item_support)
    windows = log.windows(chosen.windows, chosen.days, chosen.train_days)
    scope = {"data_fingerprint": store.fingerprint, **asdict(chosen)}
    with _folder(output, scope, overwrite=overwrite) as folder:
        stores = [log.write(window, folder / _STORES / window.name) for window in windows]
        measured = []
        for number, (window, window_store) in enumerate(zip(windows, stores, strict=True)):
            runs = _runs(window_store, model_specs, options.seeds, measurement)
            shifted = _shifted(progress, number, len(windows))
            series = RunSeries(f"backtest · {window.name}", runs, shifted)
            if not series.execute(RunCache(folder / _RUNS / window.name), skip_failures=True):
                raise InterruptedRunError(_stopped(window, output))
            measured.append(WindowRuns(window, window_store, series.completed, series.failed))
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            "name": store.path.resolve().name,
            "data_fingerprint": store.fingerprint,
            "options": asdict(chosen),
            "metric": metric,
            "ks": list(measurement.ks),
            "protocol": measurement.protocol.to_json(),
            **backtest_numbers(measured, metric),
        }
        if output is not None:
            write_json(folder / NUMBERS, numbers)
            write_csv(folder / TABLE, _table(numbers))
    return BacktestResult(None if output is None else Path(output), numbers)


def _checked(
    options: BacktestOptions, model_specs: Sequence[ModelSpec], store: Store
) -> tuple[Measurement, str]:
    """Validate the options before anything is trained; return the measurement and the metric."""
    for model_spec in model_specs:
        if model_spec.trained is not None:
            raise ConfigError(
                f"{model_spec.label} is trained already, and a backtest trains in every window; "
                "name a model or a recipe"
            )
    check_seeds(options.seeds)
    ks, metric = checked_cutoffs(options.ks, options.metric, len(store.items))
    protocol = options.protocol or store_protocol(store)
    protocol.rules.check(store.items, store.item_table)
    return Measurement("test", "train", ks, protocol, device=options.device), metric


def _runs(
    store: Store, model_specs: Sequence[ModelSpec], seeds: Sequence[int], measurement: Measurement
) -> list[CachedRun]:
    return [
        CachedRun(store, model_spec, seed, measurement)
        for model_spec in model_specs
        for seed in (seeds[:1] if model_spec.seed_independent else seeds)
    ]


def _shifted(progress: Progress, number: int, n_windows: int) -> Progress:
    """The progress of one window as a part of that of all windows."""

    def report(stage: str, done: int, total: int | None) -> None:
        whole = total or 0
        progress(stage, number * whole + done, n_windows * whole)

    return report


def _stopped(window: Window, output: str | Path | None) -> str:
    kept = (
        "nothing is kept without --output"
        if output is None
        else f"completed trainings are kept in {output}: rerun the same command to continue"
    )
    return f"stopped in {window.name}; {kept}"


def _table(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "window": window["window"],
            "boundary": window["boundary"],
            "label": model["label"],
            **{name: estimate["value"] for name, estimate in model["metrics"].items()},
        }
        for window in numbers["windows"]
        for model in window["models"]
    ]


@contextmanager
def _folder(
    output: str | Path | None, scope: Mapping[str, Any], *, overwrite: bool
) -> Iterator[Path]:
    if output is None:
        with tempfile.TemporaryDirectory(prefix="nextclick-") as scratch:
            yield Path(scratch)
    else:
        with RunCache.locked(
            Path(output), KIND, scope, outputs=_OUTPUTS, overwrite=overwrite
        ) as cache:
            yield cache.folder
