"""What a run tells while it goes on: lines of JSON, and trackers where they are installed."""

from __future__ import annotations

import json
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from nextclick.core.storage import raising_output_errors
from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Figures = dict[str, Any]


class Tracker(Protocol):
    """Takes figures."""

    def log(self, figures: Figures) -> None:
        """Take what happened at `figures["step"]`."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class MetricsLog:
    """`metrics.jsonl`, one line for each call, on the disk when the call returns."""

    def __init__(self, folder: Path, *, after_step: int):
        """Open the file; lines of later steps, which a resumed run makes again, are removed.

        Raises:
            OutputError: it cannot be written.
        """
        self._path = folder / "metrics.jsonl"
        with raising_output_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(self._path) if _step(line) <= after_step]
            beside = folder / ".metrics.jsonl.part"
            beside.write_text("".join(f"{line}\n" for line in kept), "utf-8")
            beside.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")

    def log(self, figures: Figures) -> None:
        """Write a line."""
        with raising_output_errors(self._path):
            self._file.write(json.dumps(figures) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # half a line of a killed run
        return math.inf


class _TensorBoard:
    def __init__(self, folder: Path | None, parameters: Mapping[str, Any]):
        board = _installed("torch.utils.tensorboard", "tensorboard")
        self._writer = board.SummaryWriter(None if folder is None else str(folder / "tensorboard"))
        self._writer.add_text("parameters", json.dumps(parameters, indent=2))

    def log(self, figures: Figures) -> None:
        for name, value in _numbers(figures).items():
            self._writer.add_scalar(name, value, figures["step"])

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, folder: Path | None, parameters: Mapping[str, Any]):
        del folder  # where runs go is MLflow's own setting, MLFLOW_TRACKING_URI
        self._mlflow = _installed("mlflow", "mlflow-skinny")
        self._mlflow.start_run()
        self._mlflow.log_params(dict(parameters))

    def log(self, figures: Figures) -> None:
        # MLflow allows no @ in a name
        named = {name.replace("@", "_at_"): v for name, v in _numbers(figures).items()}
        self._mlflow.log_metrics(named, step=figures["step"])

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS: dict[str, Callable[[Path | None, Mapping[str, Any]], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
}


def open_trackers(
    names: Sequence[str], folder: Path | None, parameters: Mapping[str, Any]
) -> list[Tracker]:
    """The trackers of that name, ready to take figures.

    Args:
        names: of `TRACKERS`.
        folder: where TensorBoard writes; None is its own default, `runs`.
        parameters: what the run is told to be.

    Raises:
        ConfigError: no such tracker, or it is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"there is no tracker {name!r}: {nearest(name, TRACKERS)}")
    return [TRACKERS[name](folder, parameters) for name in names]


def _installed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--track needs the package {package}, which is not installed ({error}); "
            f"`pip install {package}`, or leave --track out"
        ) from error


def _numbers(figures: Figures) -> dict[str, float]:
    return {
        name: value
        for name, value in figures.items()
        if name not in ("step", "event") and isinstance(value, int | float)
    }
