"""A run in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.mlflow_import import import_mlflow
from nextclick.training.trackers import mlflow_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODEL = "model"  # name of the model of a run
_MAX_TEXT = 6000  # characters of a parameter, a limit of MLflow
_AT_ONCE = 100  # parameters of one request, a limit of MLflow


class MLflowRun:
    """See `TrackerRun`. MLFLOW_TRACKING_URI determines where MLflow writes.

    A run that is active, such as that of a notebook, becomes the parent.
    """

    def __init__(self, name: str):
        self._mlflow = import_mlflow("--track mlflow")
        self._mlflow.start_run(run_name=name, nested=True)

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """See `TrackerRun`."""
        texts = [(name, str(value)[:_MAX_TEXT]) for name, value in values.items()]
        for start in range(0, len(texts), _AT_ONCE):
            self._mlflow.log_params(dict(texts[start : start + _AT_ONCE]))

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """See `TrackerRun`."""
        self._mlflow.log_metrics({mlflow_name(n): float(v) for n, v in values.items()}, step=step)

    def log_folder(self, folder: Path, name: str) -> None:
        """See `TrackerRun`."""
        self._mlflow.log_artifacts(str(folder), name)

    def log_model(self, artifact: Path) -> None:
        """See `TrackerRun`."""
        from nextclick.experiments.tracking.mlflow_model import log_model

        log_model(artifact, MODEL)

    def child(self, name: str) -> MLflowRun:
        """See `TrackerRun`."""
        return MLflowRun(name)

    def close(self, *, failed: bool) -> None:
        """See `TrackerRun`."""
        self._mlflow.end_run("FAILED" if failed else "FINISHED")
