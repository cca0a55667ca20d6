"""Experiment trackers that record the steps of a training."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from nextclick.core.mlflow_import import import_mlflow
from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LogRecord = dict[str, Any]


class Tracker(Protocol):
    """Records the metrics of a run."""

    def log(self, record: LogRecord) -> None:
        """Record the values of one event at step `record["step"]`."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path | None, parameters: Mapping[str, Any]):
        tensorboard = _import_tracker("torch.utils.tensorboard", "tensorboard")
        log_dir = None if folder is None else str(folder / "tensorboard")
        self._writer = tensorboard.SummaryWriter(log_dir)
        self._writer.add_text("parameters", json.dumps(parameters, indent=2))

    def log(self, record: LogRecord) -> None:
        for name, value in _scalars(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, folder: Path | None, parameters: Mapping[str, Any]):
        del folder  # MLFLOW_TRACKING_URI determines where MLflow writes
        self._mlflow = import_mlflow("--track mlflow")
        self._mlflow.start_run(run_name=_run_name(parameters), nested=True)
        self._mlflow.log_params(dict(parameters))

    def log(self, record: LogRecord) -> None:
        values = {mlflow_name(name): value for name, value in _scalars(record).items()}
        self._mlflow.log_metrics(values, step=record["step"])

    def close(self) -> None:
        self._mlflow.end_run()


class _Wandb:
    def __init__(self, folder: Path | None, parameters: Mapping[str, Any]):
        del folder  # the environment of W&B determines where it writes
        _, self._run = open_wandb_run(_run_name(parameters), str(parameters.get("model")))
        self._run.config.update(dict(parameters))

    def log(self, record: LogRecord) -> None:
        self._run.log(_scalars(record), step=record["step"])

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[Path | None, Mapping[str, Any]], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
}


def open_trackers(
    names: Sequence[str], folder: Path | None, parameters: Mapping[str, Any]
) -> list[Tracker]:
    """Open experiment trackers.

    Args:
        names: keys of `TRACKERS`.
        folder: parent of the TensorBoard folder; None is TensorBoard's default, `runs`.
        parameters: parameters of the run, recorded at its start; `model` and `part` name it.

    Raises:
        ConfigError: a tracker does not exist or is not installed.
    """
    check_trackers(names)
    return [TRACKERS[name](folder, parameters) for name in names]


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers exist.

    Raises:
        ConfigError: one does not.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"there is no tracker {name!r}: {nearest(name, TRACKERS)}")


def mlflow_name(metric: str) -> str:
    """The name of a metric in MLflow, which rejects @.

    >>> mlflow_name("recall@20")
    'recall_at_20'
    """
    return metric.replace("@", "_at_")


def open_wandb_run(name: str, group: str) -> tuple[Any, Any]:
    """Open a run in W&B, beside those that are open.

    Args:
        name: of the run.
        group: of the runs that belong together.

    Returns:
        The module `wandb` and the run.

    Raises:
        ConfigError: W&B is not installed, or the run cannot be opened.
    """
    wandb = _import_tracker("wandb", "wandb")
    project = os.environ.get("WANDB_PROJECT", "nextclick")
    try:
        return wandb, wandb.init(project=project, name=name, group=group, reinit="create_new")
    except wandb.errors.Error as error:
        raise ConfigError(
            f"--track wandb: the run cannot be opened: {error}; run `wandb login`, or set "
            "WANDB_MODE=offline"
        ) from error


def _run_name(parameters: Mapping[str, Any]) -> str:
    return f"{parameters.get('model', 'model')} on {parameters.get('part', 'train')}"


def _import_tracker(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--track needs the package {package}, which is not installed ({error}); run "
            f"`pip install {package}` or omit --track"
        ) from error


def _scalars(record: LogRecord) -> dict[str, float]:
    return {
        name: value
        for name, value in record.items()
        if name not in ("step", "event") and isinstance(value, int | float)
    }
