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
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.evaluation import Result
    from nextclick.experiments.tracking.tracked_run import TrackedRun
    from nextclick.experiments.tuning import TuningResult
    from nextclick.report.run_folder import ModelRun


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


def log_comparison(
    run: TrackedRun, runs: Sequence[ModelRun], numbers: Mapping[str, Any], report: Path | None
) -> None:
    """Log a comparison: a run below `run` for each training, and the report.

    Args:
        run: the run of the command.
        runs: the trainings, with their results and artifacts.
        numbers: content of `comparison.json`.
        report: folder of the report, or None.
    """
    if not run.is_open:
        return
    log_parameters(run, {"data_fingerprint": numbers.get("data_fingerprint"), "k": numbers["k"]})
    for one in runs:
        seed = f" seed {one.result.seed}" if one.result.seed else ""
        with run.child(f"{one.result.label}{seed}") as below:
            _log_result(below, one.result)
            if (one.folder / "artifact").is_dir():
                _log_folder(below, one.folder / "artifact")
    if report is not None:
        with tempfile.TemporaryDirectory() as folder:
            for file in ("report.html", "comparison.json"):
                if (report / file).is_file():
                    (Path(folder) / file).write_bytes((report / file).read_bytes())
            run.log_folder(Path(folder), "report")


def log_study(run: TrackedRun, study: TuningResult) -> None:
    """Log a study: a run below `run` for each trial, the best parameters and the folder."""
    if not run.is_open:
        return
    numbers = study.numbers
    best = numbers["best"]
    log_parameters(run, {"model": numbers["model"], **best["parameters"]})
    run.log_metrics(_numbers({numbers["metric"]: best["value"], "best_trial": best["trial"]}))
    for trial in numbers["trials"]:
        with run.child(f"trial {trial['number']}") as below:
            log_parameters(below, {**trial["parameters"], "state": trial["state"]})
            values = {numbers["metric"]: trial["value"], "seconds": trial["seconds"]}
            below.log_metrics(_numbers(values))
    with tempfile.TemporaryDirectory() as folder:
        for file in study.path.iterdir():
            if file.suffix in (".toml", ".csv", ".json", ".png"):
                (Path(folder) / file.name).write_bytes(file.read_bytes())
        run.log_folder(Path(folder), "study")


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
