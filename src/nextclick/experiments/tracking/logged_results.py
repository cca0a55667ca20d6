"""What is logged of a training, a comparison and a study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact_manifest import local_artifact
from nextclick.core.storage import write_json, write_text
from nextclick.experiments.stored_card import model_card
from nextclick.report.card_markdown import render_card

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.artifact import Artifact
    from nextclick.evaluation import Result
    from nextclick.experiments.tracking.tracked_run import TrackedRun
    from nextclick.experiments.tuning import TuningResult
    from nextclick.report.run_folder import ModelRun

REPORT_FILES = ("report.html", "comparison.json")


def log_training(run: TrackedRun, artifact: Artifact, folder: str | Path | None) -> None:
    """Log a trained model: parameters, validation, the artifact, its card and the model.

    Args:
        run: the run.
        artifact: the model.
        folder: where it is stored; None if it is in memory only.
    """
    if not run.is_open:
        return
    trained = artifact.trained
    log_parameters(
        run,
        {
            "model": artifact.model.name,
            "part": trained["part"],
            "seed": trained["seed"],
            "data_fingerprint": trained["data_fingerprint"],
            **asdict(artifact.model.config),
            **{f"training.{name}": value for name, value in trained.get("training", {}).items()},
        },
    )
    counts = {f"training_{name}": value for name, value in (trained["counts"] or {}).items()}
    run.log_metrics(_numbers({"training_seconds": trained["seconds"], **counts}))
    if trained.get("validation") is not None:
        run.log_metrics({f"validation.{trained['training']['metric']}": trained["validation"]})
    # of the training that the validation ranks
    for interval in trained.get("selection_history") or trained.get("history") or ():
        run.log_metrics(_numbers(interval), step=int(interval["epoch"]))
    validated = (trained.get("blend") or {}).get("validation") or {}
    run.log_metrics({f"validation.{name}": value for name, value in validated.items()})
    if folder is not None:
        _log_folder(run, local_artifact(folder))


class LoggedComparison:
    """A comparison in a run: a run below it for each training, as soon as it is measured.

    Args:
        run: the run of the command.
    """

    def __init__(self, run: TrackedRun):
        self._run = run
        self._logged: set[tuple[str, int | None]] = set()

    def log_row(self, one: ModelRun) -> None:
        """Log a training, with its result and artifact; the same one once."""
        key = one.result.label, one.result.seed
        if not self._run.is_open or key in self._logged:
            return
        self._logged.add(key)
        seed = f" seed {one.result.seed}" if one.result.seed else ""
        with self._run.child(f"{one.result.label}{seed}") as below:
            _log_result(below, one.result)
            if (one.folder / "artifact").is_dir():
                _log_folder(below, one.folder / "artifact")

    def log_report(self, numbers: Mapping[str, Any], folder: Path | None) -> None:
        """Log the report.

        Args:
            numbers: content of `comparison.json`.
            folder: of the report; None if there is none.
        """
        if not self._run.is_open:
            return
        log_parameters(
            self._run, {"data_fingerprint": numbers.get("data_fingerprint"), "k": numbers["k"]}
        )
        if folder is not None:
            _log_files(self._run, folder, "report", lambda file: file.name in REPORT_FILES)


class LoggedStudy:
    """A study in a run: a run below it for each trial, as soon as it is measured.

    Args:
        run: the run of the command.
        metric: the metric that is searched.
    """

    def __init__(self, run: TrackedRun, metric: str):
        self._run = run
        self._metric = metric

    def log_trial(self, trial: Mapping[str, Any]) -> None:
        """Log a trial, as docs/json.md describes it."""
        if not self._run.is_open:
            return
        with self._run.child(f"trial {trial['number']}") as below:
            log_parameters(below, {**trial["parameters"], "state": trial["state"]})
            below.log_metrics(_numbers({self._metric: trial["value"], "seconds": trial["seconds"]}))

    def log_study(self, study: TuningResult) -> None:
        """Log the best parameters and the folder."""
        if not self._run.is_open:
            return
        numbers, best = study.numbers, study.numbers["best"]
        log_parameters(self._run, {"model": numbers["model"], **best["parameters"]})
        self._run.log_metrics(_numbers({self._metric: best["value"], "best_trial": best["trial"]}))
        suffixes = (".toml", ".csv", ".json", ".png")
        _log_files(self._run, study.path, "study", lambda file: file.suffix in suffixes)


def log_parameters(run: TrackedRun, values: Mapping[str, Any]) -> None:
    """Log parameters, those of a group as `GROUP.NAME`."""
    run.log_parameters(dict(_flat(values)))


def _log_result(run: TrackedRun, result: Result) -> None:
    log_parameters(
        run,
        {
            "model": result.model,
            "seed": result.seed,
            "data_fingerprint": result.data_fingerprint,
            **result.config,
        },
    )
    metrics: dict[str, float | None] = {}
    for name, estimate in result.metrics.items():
        metrics |= {
            name: estimate.value,
            f"{name}.low": estimate.low,
            f"{name}.high": estimate.high,
        }
    run.log_metrics(_numbers(metrics))


def _log_folder(run: TrackedRun, artifact: Path) -> None:
    """Log the artifact as a model, and its card as Markdown and JSON."""
    run.log_model(artifact)
    card = model_card(artifact)
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "card.json", card)
        write_text(Path(folder) / "card.md", render_card(card))
        run.log_folder(Path(folder), "card")


def _log_files(run: TrackedRun, source: Path, name: str, chosen: Callable[[Path], bool]) -> None:
    """Log the chosen files of a folder, without those of its subfolders."""
    with tempfile.TemporaryDirectory() as folder:
        for file in source.iterdir():
            if file.is_file() and chosen(file):
                (Path(folder) / file.name).write_bytes(file.read_bytes())
        run.log_folder(Path(folder), name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
