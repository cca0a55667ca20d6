"""Log of a training run: progress messages and `metrics.jsonl`."""

from __future__ import annotations

import json
import math
import time
from math import ceil
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import raising_output_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.training.batch_source import BatchSource
    from nextclick.training.checkpoint import TrainingPosition
    from nextclick.training.loss_monitor import LossMonitor
    from nextclick.training.trackers import LogRecord, Tracker

PROGRESS_SECONDS = 0.1  # between two progress messages
LOG_SECONDS = 5.0  # between two step records in trackers


class RunReporter:
    """Reports steps and intervals between validations to a progress callback and to trackers."""

    def __init__(
        self,
        progress: Progress,
        trackers: Sequence[Tracker],
        batch_source: BatchSource,
        stop: float,
        metric: str,
    ):
        self._progress = progress
        self._trackers = trackers
        self._metric = metric
        self._stop = as_number(stop)  # passes
        self._samples = [batch_source.n_samples(epoch) for epoch in range(ceil(stop))]
        self._total = round(sum(self._samples) - (ceil(stop) - stop) * self._samples[-1])
        self._last_progress = self._last_record = time.perf_counter()

    def step(
        self, position: TrainingPosition, monitor: LossMonitor, label: str | None = None
    ) -> None:
        """Report a step unless the last report is more recent than the interval.

        Args:
            position: position of the run after the step.
            monitor: its pending losses are read before the report.
            label: name of the auxiliary task, for a step of one.
        """
        now = time.perf_counter()
        if now - self._last_progress < PROGRESS_SECONDS:
            return
        self._last_progress = now
        monitor.read()
        self._show_progress(position, label)
        if now - self._last_record >= LOG_SECONDS:
            self._last_record = now
            event = {"event": "step", "step": position.total_steps, "epoch": position.epoch + 1}
            self._record({**event, **rates(position)})

    def interval(self, position: TrainingPosition, values: dict[str, Any]) -> None:
        """Report the end of an interval between two validations."""
        self._show_progress(position)
        self._record({"event": "interval", "step": position.total_steps, **values})

    def validation(self, position: TrainingPosition) -> None:
        """Report the start of a validation."""
        self._show_progress(position, "validating")

    def _show_progress(self, position: TrainingPosition, label: str | None = None) -> None:
        parts = [
            "train",
            f"epoch {min(position.epoch + 1, len(self._samples))}/{self._stop:.3g}",
            label or _loss_and_speed(position),
            _last_validation(position, self._metric),
        ]
        done = sum(self._samples[: position.epoch]) + position.samples
        self._progress(" · ".join(filter(None, parts)), min(done, self._total), self._total)

    def _record(self, record: LogRecord) -> None:
        for tracker in self._trackers:
            tracker.log(record)


def rates(position: TrainingPosition) -> dict[str, float]:
    """Mean loss of the interval so far, learning rate of the last step, prefixes per second."""
    return {
        "loss": position.loss / max(position.interval_samples, 1),
        "learning_rate": position.rate,
        "samples_per_second": position.interval_samples / max(position.seconds, 1e-9),
    }


def as_number(passes: float) -> float:
    """Passes over the sessions to report: an integer if they are whole.

    >>> as_number(3.0), as_number(0.123456)
    (3, 0.1235)
    """
    return int(passes) if passes == int(passes) else round(passes, 4)


def _loss_and_speed(position: TrainingPosition) -> str:
    if not position.interval_samples:
        return ""
    values = rates(position)
    return f"loss {values['loss']:.4f} · {values['samples_per_second']:,.0f} samples/s"


def _last_validation(position: TrainingPosition, metric: str) -> str:
    last = next((e[metric] for e in reversed(position.history) if metric in e), None)
    if last is None:
        return ""
    if position.best_interval is None:
        return f"{metric} {last:.4f}"
    epoch = position.history[position.best_interval - 1]["epoch"]
    return f"{metric} {last:.4f} (best {position.best:.4f} after epoch {epoch})"


class MetricsLog:
    """`metrics.jsonl`: one JSON object per line, flushed after each record."""

    def __init__(self, folder: Path, *, after_step: int):
        """Open the file for appending.

        Records after step `after_step` are removed, because a resumed run writes them again.

        Raises:
            OutputError: the file cannot be written.
        """
        self._path = folder / "metrics.jsonl"
        with raising_output_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            lines = _lines(self._path)
            scratch = folder / ".metrics.jsonl.part"
            retained = (f"{line}\n" for line in lines if _step_of_line(line) <= after_step)
            scratch.write_text("".join(retained), "utf-8")
            scratch.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")

    def log(self, record: LogRecord) -> None:
        """Append a line."""
        with raising_output_errors(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lines(path: Path) -> list[str]:
    """The lines of a log; empty if there is none. A damaged line is removed by its step."""
    return path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []


def _step_of_line(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # the last line of a killed run may be incomplete
        return math.inf
