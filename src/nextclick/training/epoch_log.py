"""Tells people, and files, how a run goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Progress
    from nextclick.training.batch_source import BatchSource
    from nextclick.training.checkpoint import TrainingPosition
    from nextclick.training.loss_monitor import LossMonitor
    from nextclick.training.metrics_log import Tracker

TELL_SECONDS = 0.1  # between two words to people
LOG_SECONDS = 5.0  # and to files


class EpochReport:
    """Tells a `Progress` and trackers of steps, now and then, and of every epoch."""

    def __init__(
        self,
        progress: Progress,
        trackers: Sequence[Tracker],
        feed: BatchSource,
        epochs: int,
        metric: str,
    ):
        self._progress = progress
        self._trackers = trackers
        self._metric = metric
        self._epochs = epochs
        self._samples = [feed.n_samples(epoch) for epoch in range(epochs)]
        self._told = self._logged = time.perf_counter()

    def step(self, at: TrainingPosition, watch: LossMonitor, doing: str | None = None) -> None:
        """Tell of a step, of a task if it has a name, unless something was told a moment ago."""
        now = time.perf_counter()
        if now - self._told < TELL_SECONDS:
            return
        self._told = now
        watch.read()
        self._tell(at, doing)
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._log({"event": "step", "step": at.total_steps, "epoch": at.epoch + 1, **rates(at)})

    def epoch(self, at: TrainingPosition, figures: dict[str, Any]) -> None:
        """Tell of an epoch that has ended."""
        self._tell(at)
        self._log({"event": "epoch", "step": at.total_steps, **figures})

    def validation(self, at: TrainingPosition) -> None:
        """Tell that the model is being ranked."""
        self._tell(at, "validating")

    def _tell(self, at: TrainingPosition, doing: str | None = None) -> None:
        parts = [
            "train",
            f"epoch {min(at.epoch + 1, self._epochs)}/{self._epochs}",
            doing or _speed(at),
            *_validated(at, self._metric),
        ]
        done = sum(self._samples[: at.epoch]) + at.samples
        self._progress(" · ".join(filter(None, parts)), done, sum(self._samples))

    def _log(self, figures: dict[str, Any]) -> None:
        for tracker in self._trackers:
            tracker.log(figures)


def rates(at: TrainingPosition) -> dict[str, float]:
    """Mean loss of the epoch so far, learning rate of the last step, prefixes per second."""
    return {
        "loss": at.loss / max(at.samples, 1),
        "learning_rate": at.rate,
        "samples_per_second": at.samples / max(at.seconds, 1e-9),
    }


def _speed(at: TrainingPosition) -> str:
    if not at.samples:
        return ""
    told = rates(at)
    return f"loss {told['loss']:.4f} · {told['samples_per_second']:,.0f} samples/s"


def _validated(at: TrainingPosition, metric: str) -> list[str]:
    last = next((e[metric] for e in reversed(at.history) if metric in e), None)
    if last is None:
        return []
    best = "" if at.best is None else f" (best {at.best:.4f} in epoch {at.best_epoch})"
    return [f"{metric} {last:.4f}{best}"]
