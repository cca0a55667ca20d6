"""Trains a neural model and says how it went.

A run is a function of its arguments: the same seed on the same number of threads of the same CPU
gives the same weights bit for bit, whether or not it was stopped and resumed in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.types import silent
from nextclick.models.ops.torch_threads import computing_on
from nextclick.training.device import (
    check_precision,
    choose_device,
    seeded,
    thread_count,
)
from nextclick.training.interrupt import Interrupt
from nextclick.training.loop import Checkpoints, LoopSettings, TrainingLoop
from nextclick.training.training_config import check_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.loop import Validate
    from nextclick.training.metrics_log import Tracker
    from nextclick.training.training_config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Training:
    """How a run went.

    Attributes:
        epochs: how many there were.
        best_epoch: the one whose weights the model has, from 1.
        history: for each epoch its loss, rate, samples/s, seconds and validation.
        samples_per_second: prefixes over the wall time of all steps, loading included.
        seconds: wall time of all steps.
        device: cpu or cuda.
        threads: of arithmetic.
    """

    epochs: int
    best_epoch: int
    history: tuple[dict[str, Any], ...]
    samples_per_second: float
    seconds: float
    device: str
    threads: int


class Trainer:
    """Trains one model with one config."""

    def __init__(
        self,
        model: NeuralModel,
        config: TrainingConfig,
        *,
        seed: int = 0,
        device: str = "auto",
        epochs: int | None = None,
        minutes: float | None = None,
    ):
        """Check what can be checked before the work.

        Args:
            model: with fresh weights, or those to go on from.
            config: how to train.
            seed: of orders, negatives and dropout.
            device: auto, cpu or cuda.
            epochs: stop after that many, under the schedule of all of `config.epochs`.
            minutes: stop after the step that reaches them; how many steps that is, nobody can
                repeat. None for no limit.

        Raises:
            ConfigError: parameters that do not fit together or that the machine cannot fulfill.
        """
        check_training(config)
        self.model = model
        self._settings = LoopSettings(
            config, seed, epochs or config.epochs, choose_device(device), minutes
        )
        check_precision(config.precision, self._settings.device)
        _, width = model.encoder.table()[0].shape
        candidates = config.negatives + config.in_batch * config.most_prefixes
        if config.loss == "ce":
            candidates = model.n_items
        self._threads = thread_count(config.threads, config.most_prefixes * candidates * width)

    def run(
        self,
        sessions: Sessions,
        *,
        validate: Validate | None = None,
        checkpoints: Checkpoints | None = None,
        trackers: Sequence[Tracker] = (),
        progress: Progress = silent,
    ) -> Training:
        """Train, and leave the model on the CPU with the weights that are kept.

        With keep=best these are the weights of the epoch for which `validate` gave the largest
        `metric`; without `validate`, and with keep=last, those after the last epoch.

        Args:
            sessions: what to learn from.
            validate: gives metrics of the model as it is, `config.metric` among them.
            checkpoints: where to keep what resumes the run; None keeps nothing.
            trackers: told the same as `metrics.jsonl`.
            progress: told prefixes done of all epochs. What follows the first " · " of a stage
                changes with every call: epoch, loss, samples/s, the last validation.

        Raises:
            TrainingError: a loss, gradient or weight is not finite.
            StoppedError: Ctrl-C; the message says how to go on.
            ArtifactError: the checkpoint is not of this run.
            OutputError: a checkpoint cannot be written.
            EmptyLogError: there is nothing to predict.
        """
        encoder = self.model.encoder
        with (
            computing_on(self._threads),
            seeded(self._settings.seed),
            Interrupt() as interrupt,
        ):
            encoder.to(self._settings.device)
            try:
                run = TrainingLoop(
                    self.model,
                    sessions,
                    self._settings,
                    validate=validate,
                    checkpoints=checkpoints,
                    interrupt=interrupt,
                )
                if checkpoints is not None and checkpoints.resume:
                    run.resume()
                run.go(progress, trackers)
            finally:
                encoder.to("cpu").eval()
                self.model.teardown()
        return self._outcome(run)

    def _outcome(self, run: TrainingLoop) -> Training:
        history = tuple(run.at.history)
        seconds = sum(epoch["seconds"] for epoch in history)
        return Training(
            epochs=len(history),
            best_epoch=run.at.best_epoch or len(history),
            history=history,
            samples_per_second=sum(epoch["samples"] for epoch in history) / max(seconds, 1e-9),
            seconds=seconds,
            device=self._settings.device.type,
            threads=self._threads,
        )
