"""One run of training: steps, epochs, validation, checkpoints, and where it stands."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from nextclick.errors import ConfigError, StoppedError
from nextclick.training import checkpoint
from nextclick.training.auxiliary_task import make_batch_source
from nextclick.training.batch_source import AuxiliaryStep
from nextclick.training.checkpoint import RunIdentity, TrainingPosition
from nextclick.training.epoch_log import EpochReport, rates
from nextclick.training.loss_monitor import LossMonitor
from nextclick.training.metrics_log import MetricsLog
from nextclick.training.optim import Optimizers, clip, fallen_rate, learning_rate
from nextclick.training.training_config import result_affecting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.batch_source import TrainingStep
    from nextclick.training.interrupt import Interrupt
    from nextclick.training.metrics_log import Tracker
    from nextclick.training.training_config import TrainingConfig

    Validate = Callable[[NeuralModel], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where a run is kept.

    Attributes:
        folder: gets `checkpoint/` and `metrics.jsonl`.
        resume: go on from what is there.
        data: what names the sessions, such as the fingerprint of a store and a part of it.
    """

    folder: Path
    resume: bool = False
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What a run is told by its trainer.

    Attributes:
        config: how to train.
        seed: of orders, negatives and dropout.
        epochs: how many at most; no more than `config.epochs`.
        device: where.
        minutes: stop after the step that reaches them; None for no limit.
    """

    config: TrainingConfig
    seed: int
    epochs: int
    device: torch.device
    minutes: float | None = None


class TrainingLoop:
    """The parts that belong together while a model is trained."""

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        settings: LoopSettings,
        *,
        validate: Validate | None,
        checkpoints: Checkpoints | None,
        interrupt: Interrupt,
    ):
        self.model = model
        self.encoder = model.encoder.train()
        self.settings = settings
        self.config = settings.config
        self.validate = validate
        self.chooses = validate is not None and self.config.keep == "best"
        self.checkpoints = checkpoints
        self.interrupt = interrupt
        self.feed = make_batch_source(
            model, sessions, self.config, seed=settings.seed, device=settings.device
        )
        if self.config.sparse and not self.encoder.table()[0].is_leaf:
            raise ConfigError(
                f"sparse must be false for {model.name}: it computes its table from other "
                "weights; set sparse=false"
            )
        self.optimizers = Optimizers(self.encoder, self.config)
        self.at = TrainingPosition()
        self.best: dict[str, Tensor] = {}
        self.saved = time.monotonic()
        minutes = settings.minutes
        self.until = math.inf if minutes is None else self.saved + 60 * minutes

    def go(self, progress: Progress, trackers: Sequence[Tracker]) -> None:
        """From where the run stands to its end; then the model has the weights to keep."""
        log: list[MetricsLog] = []
        if self.checkpoints is not None:
            log.append(MetricsLog(self.checkpoints.folder, after_step=self.at.total_steps))
        self.report = EpochReport(
            progress, [*log, *trackers], self.feed, self.settings.epochs, self.config.metric
        )
        try:
            while not self.at.finished:
                self.watch = LossMonitor(self.optimizers.named, self.at)
                self._train_epoch()
                self._end_epoch()
        finally:
            for each in log:
                each.close()
        if self.chooses:
            self.encoder.load_state_dict(self.best)

    def _train_epoch(self) -> None:
        self.encoder.train()
        n_samples = self.feed.n_samples(self.at.epoch)
        began = time.perf_counter()
        with closing(self.feed.works(self.at.epoch, self.at.step)) as works:
            for work in works:
                self._step(work, n_samples)
                now = time.perf_counter()
                self.at.seconds += now - began
                began = now
                doing = work.label if isinstance(work, AuxiliaryStep) else None
                self.report.step(self.at, self.watch, doing)
                self._keep_if_due()
                if time.monotonic() >= self.until:
                    break
                began = time.perf_counter()
        self.watch.read()
        self.watch.check_weights()

    def _step(self, work: TrainingStep | AuxiliaryStep, n_samples: int) -> None:
        at = self.at
        optimizers = self.optimizers
        if isinstance(work, AuxiliaryStep):
            assert self.feed.task_optimizers is not None
            optimizers = self.feed.task_optimizers
        with self._autocast():
            loss = self.feed.loss(work)
        self.watch.take(loss, len(work))
        optimizers.zero_grad()
        (loss if work.weight == 1 else loss * work.weight).backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            clip(optimizers.named, self.config.clip, at.total_steps + 1)
        if isinstance(work, AuxiliaryStep):
            optimizers.step(self.feed.task_rate * fallen_rate(self.config, at.epoch))
        else:
            before = at.epoch + at.samples / n_samples
            at.samples += len(work)
            at.rate = learning_rate(self.config, before, at.epoch + at.samples / n_samples)
            optimizers.step(at.rate)
        at.step += 1
        at.total_steps += 1

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.settings.device.type, torch.bfloat16)

    def _end_epoch(self) -> None:
        """Validate, keep the best, and go to the next epoch; a run is resumed before or after."""
        at = self.at
        figures = self._validated()
        told = {"epoch": at.epoch + 1, "steps": at.step, "samples": at.samples, **rates(at)}
        told |= {"seconds": at.seconds, **figures}
        at.history.append(told)
        pretraining = at.epoch < self.config.pretrain_epochs
        if self.chooses and not pretraining:
            value = figures[self.config.metric]
            if at.best is None or value > at.best:
                at.best, at.best_epoch, at.waited = value, at.epoch + 1, 0
                self.best = {n: w.clone() for n, w in self.encoder.state_dict().items()}
            else:
                at.waited += 1
        self.report.epoch(at, told)
        at.epoch += 1
        at.step, at.samples, at.loss, at.seconds = 0, 0, 0.0, 0.0
        at.finished = at.epoch >= self.settings.epochs or at.waited >= self.config.patience
        at.finished |= time.monotonic() >= self.until
        self.keep()
        self._stop_if_asked()

    def _validated(self) -> dict[str, float]:
        if self.validate is None:
            return {}
        self.report.validation(self.at)
        # the weights stand still, so that Ctrl-C need not wait for the end of a long validation
        self.interrupt.waits = False
        try:
            figures = self.validate(self.model)
        except KeyboardInterrupt:
            self.interrupt.asked = True
            self.keep()
            raise StoppedError(_stopped(self.at, self.checkpoints)) from None
        finally:
            self.interrupt.waits = True
        if self.config.metric not in figures:
            raise ConfigError(
                f"metric must be one of {', '.join(figures)}, which the validation gives; got "
                f"{self.config.metric!r}"
            )
        return figures

    def _keep_if_due(self) -> None:
        due = time.monotonic() - self.saved >= 60 * self.config.checkpoint_minutes
        if self.interrupt.asked or (due and self.checkpoints is not None):
            self.watch.read()
            self.keep()
            self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.interrupt.asked:
            raise StoppedError(_stopped(self.at, self.checkpoints))

    def keep(self) -> None:
        """Write a checkpoint, where the run has a place for it."""
        if self.checkpoints is None:
            return
        groups = {
            "weights": self.encoder.state_dict(),
            "best": self.best,
            "optimizer": self.optimizers.state(),
            "feed": self.feed.state(),
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.settings.device.type == "cuda":
            groups["random"]["cuda"] = torch.cuda.get_rng_state()
        checkpoint.save(self.checkpoints.folder, self._identity(), self.at, groups)
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go to where the checkpoint stands."""
        assert self.checkpoints is not None
        self.at, groups = checkpoint.load(self.checkpoints.folder, self._identity())
        self.encoder.load_state_dict(groups["weights"])
        self.best = groups["best"]
        self.optimizers.load_state(groups["optimizer"])
        self.feed.load_state(groups["feed"])
        torch.set_rng_state(groups["random"]["cpu"])
        if self.settings.device.type == "cuda" and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"])

    def _identity(self) -> RunIdentity:
        assert self.checkpoints is not None
        model = {"name": self.model.name, "items": self.model.n_items}
        return RunIdentity(
            model={**model, **asdict(self.model.config)},
            training={
                **result_affecting(asdict(self.config)),
                "epochs_of_run": self.settings.epochs,
                "seed": self.settings.seed,
            },
            data=self.checkpoints.data,
        )


def _stopped(at: TrainingPosition, checkpoints: Checkpoints | None) -> str:
    place = f"epoch {at.epoch + 1}, step {at.step}"
    if checkpoints is None:
        return f"stopped at {place}; nothing is kept, because no folder for checkpoints was named"
    return (
        f"stopped at {place}; what was learned is kept in {checkpoints.folder}: say the same again "
        "with --resume to go on"
    )
