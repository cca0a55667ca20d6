"""The training loop: steps, epochs, validation, early stopping and checkpoints of one run."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.training import checkpoint
from nextclick.training.auxiliary_task import make_batch_source
from nextclick.training.batch_source import AuxiliaryStep
from nextclick.training.checkpoint import RunIdentity, TrainingPosition
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.device import choose_precision, matmul_precision
from nextclick.training.loss_monitor import LossMonitor
from nextclick.training.optim import Optimizers, clip, learning_rate, scheduled_rate
from nextclick.training.run_log import MetricsLog, RunReporter, rates
from nextclick.training.training_config import result_affecting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.batch_source import TrainingStep
    from nextclick.training.checkpoint import Checkpoints
    from nextclick.training.interrupt import Interrupt
    from nextclick.training.run_log import Tracker
    from nextclick.training.training_config import TrainingConfig

    Validate = Callable[[NeuralModel], dict[str, float]]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Settings of a run besides model and data.

    Attributes:
        config: training parameters.
        seed: seed of session order, negatives and dropout.
        epochs: maximum number of epochs, at most `config.epochs`.
        device: where the model is trained.
        minutes: time limit; the run stops after the step that exceeds it. None is no limit.
    """

    config: TrainingConfig
    seed: int
    epochs: int
    device: torch.device
    minutes: float | None = None


class TrainingLoop:
    """State of a training run: model, optimizers, batches, and the position in the run.

    Attributes:
        position: epoch, step, and the metrics so far.
        best_weights: weights of the epoch with the best validation metric, if these are kept.
    """

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
        self.precision = choose_precision(self.config.precision, settings.device)
        self.validate = validate
        self.keeps_best = validate is not None and self.config.keep == "best"
        self.checkpoints = checkpoints
        self.interrupt = interrupt
        self.batch_source = make_batch_source(
            model, sessions, self.config, seed=settings.seed, device=settings.device
        )
        if False:
            raise ConfigError(
                f"sparse must be false for {model.name}: it computes its item table from other "
                "weights; set sparse=false"
            )
        self.optimizers = Optimizers(self.encoder, self.config)
        self.position = TrainingPosition()
        self.best_weights: dict[str, Tensor] = {}
        self.last_saved = time.monotonic()
        minutes = settings.minutes
        self.deadline = math.inf if minutes is None else self.last_saved + 60 * minutes

    def run(self, progress: Progress, trackers: Sequence[Tracker]) -> None:
        """Train from the current position to the end; the model then has the weights to keep."""
        with ExitStack() as stack:
            logs: list[Tracker] = list(trackers)
            if self.checkpoints is not None:
                folder, step = self.checkpoints.folder, self.position.total_steps
                logs.insert(0, stack.enter_context(closing(MetricsLog(folder, after_step=step))))
            self.reporter = RunReporter(
                progress, logs, self.batch_source, self.settings.epochs, self.config.metric
            )
            while not self.position.finished:
                self.monitor = LossMonitor(self.optimizers.named, self.position)
                self._train_epoch()
                self._end_epoch()
        if self.keeps_best:
            self.encoder.load_state_dict(self.best_weights)

    def _train_epoch(self) -> None:
        self.encoder.train()
        position = self.position
        n_samples = self.batch_source.n_samples(position.epoch)
        began = time.perf_counter()
        with closing(self.batch_source.steps(position.epoch, position.step)) as steps:
            for step in steps:
                self._train_step(step, n_samples)
                now = time.perf_counter()
                position.seconds += now - began
                began = now
                label = step.label if isinstance(step, AuxiliaryStep) else None
                self.reporter.step(position, self.monitor, label)
                self._save_if_due()
                if time.monotonic() >= self.deadline:
                    break
                began = time.perf_counter()
        self.monitor.read()
        self.monitor.check_weights()

    def _train_step(self, step: TrainingStep | AuxiliaryStep, n_samples: int) -> None:
        position = self.position
        optimizers = self.optimizers
        if isinstance(step, AuxiliaryStep):
            assert self.batch_source.task_optimizers is not None
            optimizers = self.batch_source.task_optimizers
        with matmul_precision(self.precision):
            with self._autocast():
                loss = self.batch_source.loss(step)
            self.monitor.add(loss, len(step))
            optimizers.zero_grad()
            (loss if step.weight == 1 else loss * step.weight).backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            clip(optimizers.named, self.config.clip, position.total_steps + 1)
        if isinstance(step, AuxiliaryStep):
            rate = scheduled_rate(self.config, position.epoch)
            optimizers.step(self.batch_source.task_rate * rate)
        else:
            before = position.epoch + position.samples / n_samples
            position.samples += len(step)
            after = position.epoch + position.samples / n_samples
            position.rate = learning_rate(self.config, before, after)
            optimizers.step(position.rate)
        position.step += 1
        position.total_steps += 1

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.settings.device.type, torch.bfloat16)

    def _end_epoch(self) -> None:
        """Validate, keep the best weights, move to the next epoch, and save a checkpoint."""
        position = self.position
        metrics = self._validation_metrics()
        epoch: dict[str, Any] = {
            "epoch": position.epoch + 1,
            "steps": position.step,
            "samples": position.samples,
            **rates(position),
            "seconds": position.seconds,
            **metrics,
        }
        position.history.append(epoch)
        if self.keeps_best and position.epoch >= self.config.pretrain_epochs:
            self._keep_if_best(metrics[self.config.metric])
        self.reporter.epoch(position, epoch)
        position.epoch += 1
        position.step, position.samples, position.loss, position.seconds = 0, 0, 0.0, 0.0
        position.finished = (
            position.epoch >= self.settings.epochs
            or position.epochs_since_best >= self.config.patience
            or time.monotonic() >= self.deadline
        )
        self.save_checkpoint()
        self._raise_if_interrupted()

    def _keep_if_best(self, value: float) -> None:
        position = self.position
        if position.best is None or value > position.best:
            position.best, position.best_epoch = value, position.epoch + 1
            position.epochs_since_best = 0
            self.best_weights = {n: w.clone() for n, w in self.encoder.state_dict().items()}
        else:
            position.epochs_since_best += 1

    def _validation_metrics(self) -> dict[str, float]:
        if self.validate is None:
            return {}
        self.reporter.validation(self.position)
        # the weights do not change, so Ctrl-C need not wait for the end of a long validation
        self.interrupt.deferred = False
        try:
            metrics = self.validate(self.model)
        except KeyboardInterrupt:
            self.interrupt.requested = True
            self.save_checkpoint()
            raise InterruptedRunError(_interrupted(self.position, self.checkpoints)) from None
        finally:
            self.interrupt.deferred = True
        if self.config.metric not in metrics:
            raise ConfigError(
                f"metric must be one of {', '.join(metrics)}, the metrics of the validation; got "
                f"{self.config.metric!r}"
            )
        return metrics

    def _save_if_due(self) -> None:
        due = time.monotonic() - self.last_saved >= 60 * self.config.checkpoint_minutes
        if self.interrupt.requested or (due and self.checkpoints is not None):
            self.monitor.read()
            self.save_checkpoint()
            self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        if self.interrupt.requested:
            raise InterruptedRunError(_interrupted(self.position, self.checkpoints))

    def save_checkpoint(self) -> None:
        """Write a checkpoint, if the run has a folder for checkpoints."""
        if self.checkpoints is None:
            return
        groups = {
            "weights": self.encoder.state_dict(),
            "best": self.best_weights,
            "optimizer": self.optimizers.state(),
            "batch_source": self.batch_source.state(),
            "random": self._random_states(),
        }
        checkpoint.save(self.checkpoints.folder, self._identity(), self.position, groups)
        self.last_saved = time.monotonic()

    def resume(self) -> None:
        """Restore the state of the checkpoint.

        Raises:
            ArtifactError: the checkpoint is missing, is broken or belongs to another run.
        """
        assert self.checkpoints is not None
        folder, weights = self.checkpoints.folder, self.encoder.state_dict()
        self.position, groups = checkpoint.load(folder, self._identity(), self.settings.epochs)
        with checkpoint.reading(folder, "best.safetensors"):
            self.best_weights = groups["best"]
            has_best = self.keeps_best and self.position.best_epoch is not None
            check_same_tensors(self.best_weights, weights if has_best else {})
        with checkpoint.reading(folder, "weights.safetensors"):
            check_same_tensors(groups["weights"], weights)
            self.encoder.load_state_dict(groups["weights"])
        with checkpoint.reading(folder, "optimizer.safetensors"):
            self.optimizers.load_state(groups["optimizer"])
        with checkpoint.reading(folder, "batch_source.safetensors"):
            self.batch_source.load_state(groups["batch_source"])
        with checkpoint.reading(folder, "random.safetensors"):
            check_same_tensors(groups["random"], self._random_states())
            torch.set_rng_state(groups["random"]["cpu"])
            if self.settings.device.type == "cuda":
                torch.cuda.set_rng_state(groups["random"]["cuda"])

    def _random_states(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.settings.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state()
        return states

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


def _interrupted(position: TrainingPosition, checkpoints: Checkpoints | None) -> str:
    where = f"interrupted at epoch {position.epoch + 1}, step {position.step}"
    if checkpoints is None:
        return f"{where}; nothing is saved, because the run has no checkpoint folder"
    return (
        f"{where}; the checkpoint is in {checkpoints.folder}: rerun the same command with --resume "
        "to continue"
    )
