"""Train several models on one store, measure each, and report which differences are significant."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.registries import artifact_folder
from nextclick.core.display import Display, Displayed
from nextclick.core.metrics import METRICS, metric_label
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.experiments.artifact_evaluation import store_protocol, training_data
from nextclick.experiments.cached_run import CachedRun, Measurement
from nextclick.experiments.checked_measurement import check_seeds, checked_cutoffs
from nextclick.experiments.comparison_options import CompareOptions, training_part
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.run_series import RunSeries
from nextclick.experiments.store_segments import segmentations_for
from nextclick.experiments.tracking.logged_results import LoggedComparison
from nextclick.experiments.tracking.tracked_run import tracked_run
from nextclick.models.model_registry import BASELINES
from nextclick.report.report_data import ReportOptions, build_comparison
from nextclick.report.report_files import OUTPUTS, write_report
from nextclick.report.run_folder import ModelRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextclick.core.types import Progress
    from nextclick.evaluation import Result
    from nextclick.experiments.model_specs import ModelSpec

KIND = "nextclick.comparison"


@dataclass(frozen=True, slots=True, repr=False)
class ComparisonResult(Displayed):
    """The outcome of a comparison.

    Attributes:
        path: its folder; None if there is none.
        numbers: content of `comparison.json`.
        results: one for each model and seed that succeeded.
        no_figures_reason: why there are no figures; None if there are.
    """

    path: Path | None
    numbers: dict[str, Any]
    results: list[Result]
    no_figures_reason: str | None = None

    def display(self) -> Display:
        """What is shown of the comparison: its leaderboard at the largest cut-off."""
        rows, k = self.numbers["leaderboard"], self.numbers["k"]
        shown = [f"{name}@{k}" for name in METRICS]
        return Display(
            f"Comparison of {len(rows)} models, in percent",
            {"folder": self.path, "data": self.numbers.get("data_fingerprint")},
            ("model", *map(metric_label, shown)),
            [
                [row["label"], *(f"{100 * row['metrics'][name]['value']:.2f}" for name in shown)]
                for row in rows
            ],
        )


def compare(
    store: Store | str | Path,
    models: Sequence[str] = BASELINES,
    output: str | Path | None = None,
    options: CompareOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ComparisonResult:
    """Train and measure models under the same conditions, and write a report.

    Completed trainings are cached in the folder by everything that determines them: data, model,
    parameters, seed, part, device and version. The same call resumes an interrupted comparison;
    additional models or seeds train what is new. The report lists models that failed, with the
    reason.

    Args:
        store: a store or its folder.
        models: models, presets, recipes and artifacts, in the syntax of
            `nextclick.experiments.model_specs`.
        output: folder of the comparison, new or of the same store; None keeps nothing.
        options: how models are trained and measured.
        overwrite: replace an existing comparison.
        progress: receives hundredths of trainings.

    Raises:
        ConfigError: an invalid option, model or parameter, or the folder holds a comparison on
            another store.
        StoreError: the store cannot be read.
        OutputError: the folder holds other files or cannot be written.
        InterruptedRunError: Ctrl-C; completed trainings are in the folder and its report.
    """
    options = options or CompareOptions()
    store = store if isinstance(store, Store) else Store.open(store, progress)
    with tracked_run(options.track, run_name(store)) as tracked:
        log = LoggedComparison(tracked)
        return compare_logged(
            store, models, output, options, log, overwrite=overwrite, progress=progress
        )


def run_name(store: Store) -> str:
    """The name of the run of a comparison in a tracker."""
    return f"compare {store.path.resolve().name}"


def compare_logged(
    store: Store,
    models: Sequence[str],
    output: str | Path | None,
    options: CompareOptions,
    log: LoggedComparison,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ComparisonResult:
    """As `compare`, logged in an open run; `options.track` is not read."""
    model_specs = parse_model_specs(models, options.settings)
    measurement, metric = _checked(options, model_specs, store)
    runs = [
        CachedRun(store, model_spec, seed, measurement)
        for model_spec in model_specs
        for seed in (options.seeds[:1] if model_spec.seed_independent else options.seeds)
    ]
    series = RunSeries("compare", runs, progress)
    with _cache(output, {"data_fingerprint": store.fingerprint}, overwrite=overwrite) as cache:
        finished = series.execute(cache, skip_failures=True, on_completed=log.log_row)
        name = store.path.resolve().name
        about = ReportOptions(name, metric, options.against, series.failed, series.waiting)
        numbers = build_comparison(series.completed, about)
        no_figures_reason = None
        if output is not None:
            no_figures_reason = write_report(cache.folder, numbers)
        log.log_report(numbers, None if output is None else cache.folder)
    if not finished:
        raise InterruptedRunError(
            f"stopped after {series.done} of {series.total} trainings; "
            + (
                f"completed ones are kept in {output}: rerun the same command to continue"
                if output is not None
                else "nothing is kept without --output"
            )
        )
    path = None if output is None else Path(output)
    return ComparisonResult(
        path, numbers, [run.result for run in series.completed], no_figures_reason
    )


def compare_results(
    results: Sequence[Path],
    output: str | Path | None = None,
    *,
    metric: str | None = None,
    against: str | None = None,
    overwrite: bool = False,
) -> ComparisonResult:
    """Compare existing results, with the ranks that are stored beside them.

    Args:
        results: files that `evaluate -o` or `compare -o` wrote.
        output: folder of the report; None writes none.
        metric: as in `CompareOptions`.
        against: as in `CompareOptions`.
        overwrite: replace a report on other data.

    Raises:
        ProtocolError: a file is not a result, or the results are not comparable.
        ConfigError: the results lack the metric or the label.
        OutputError: the folder holds other files or cannot be written.
    """
    runs = [ModelRun.read(path) for path in results]
    first = runs[0].result
    _check_against(against, [run.result.label for run in runs])
    sort_metric = metric or f"recall@{max(first.evaluation['ks'])}"
    numbers = build_comparison(runs, ReportOptions(first.protocol["data"], sort_metric, against))
    path, no_figures_reason = None, None
    if output is not None:
        path, scope = Path(output), {"data_fingerprint": first.data_fingerprint}
        with RunCache.locked(path, KIND, scope, outputs=OUTPUTS, overwrite=overwrite):
            no_figures_reason = write_report(path, numbers)
    return ComparisonResult(path, numbers, [run.result for run in runs], no_figures_reason)


def _checked(
    options: CompareOptions, model_specs: Sequence[ModelSpec], store: Store
) -> tuple[Measurement, str]:
    """Validate the options before anything is trained; return the measurement and the metric."""
    if options.part not in ("test", "valid"):
        raise ConfigError(f"part must be test or valid, got {options.part!r}")
    train_part = training_part(options.train_on, options.part)
    for model_spec in model_specs:
        if model_spec.trained is not None:
            _check_trained(model_spec.label, model_spec.trained, train_part, store)
    check_seeds(options.seeds)
    ks, metric = checked_cutoffs(options.ks, options.metric, len(store.items))
    _check_against(options.against, [model_spec.label for model_spec in model_specs])
    protocol = options.protocol or store_protocol(store)
    protocol.rules.check(store.items, store.item_table)
    segmentations_for(store, options.by, part=options.part, trained_on=train_part)
    return (
        Measurement(
            part=options.part,
            train_part=train_part,
            ks=ks,
            protocol=protocol,
            by=tuple(options.by),
            prequential=options.prequential,
            device=options.device,
        ),
        metric,
    )


def _check_trained(label: str, path: Path, train_part: str, store: Store) -> None:
    """Refuse an artifact that was trained on other data than the rest of the comparison.

    A table of models with and without the sessions of the validation would show the gain of these
    sessions as the gain of a model.
    """
    artifact = Artifact.load(artifact_folder(path))
    fingerprint = artifact.trained["data_fingerprint"]
    if fingerprint != store.fingerprint:
        raise ConfigError(
            f"{label} was trained on another store ({fingerprint}, not {store.fingerprint}): omit "
            "it, or compare on its own store"
        )
    if training_data(artifact) != train_part:
        raise ConfigError(
            f"{label} was trained on {training_data(artifact)}, the other models on {train_part}: "
            "train it again with --train-on "
            f"{'inner' if train_part == 'train_inner' else 'all'}, or compare only artifacts of "
            "one part"
        )


def _check_against(against: str | None, labels: Sequence[str]) -> None:
    if against is not None and against not in labels:
        raise ConfigError(f"against must be one of {', '.join(labels)}, got {against!r}")


@contextmanager
def _cache(
    output: str | Path | None, scope: Mapping[str, Any], *, overwrite: bool
) -> Iterator[RunCache]:
    if output is None:
        with tempfile.TemporaryDirectory(prefix="nextclick-") as folder:
            yield RunCache(Path(folder))
    else:
        with RunCache.locked(
            Path(output), KIND, scope, outputs=OUTPUTS, overwrite=overwrite
        ) as cache:
            yield cache
