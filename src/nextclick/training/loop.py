"""The training loop: steps, intervals, validation, early stopping and checkpoints of one run."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from nextclick.core.processes import current
from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.training.auxiliary_task import make_batch_source
from nextclick.training.batch_source import AuxiliaryStep
from nextclick.training.checkpoint import TrainingPosition
from nextclick.training.device import choose_precision, matmul_precision
from nextclick.training.gradient_exchange import GradientExchange, Requests
from nextclick.training.loss_monitor import LossMonitor
from nextclick.training.optim import Optimizers, clip, learning_rate, scheduled_rate
from nextclick.training.run_checkpoint import restore_run, save_run
from nextclick.training.run_log import MetricsLog, RunReporter, as_number, rates
from nextclick.training.training_plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.batch_source import TrainingStep
    from nextclick.training.checkpoint import Checkpoints
    from nextclick.training.interrupt import Interrupt
    from nextclick.training.trackers import Tracker
    from nextclick.training.training_config import TrainingConfig

    Validate = Callable[[NeuralModel], dict[str, float]]
    OnInterval = Callable[[float, Sequence[dict[str, Any]]], None]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Settings of a run besides model and data.

    Attributes:
        config: training parameters.
        seed: seed of session order, negatives and dropout.
        plan: length of the run; None is that of the config for the sessions.
        device: where the model is trained.
        minutes: time limit; the run stops after the step that exceeds it. None is no limit.
    """

    config: TrainingConfig
    seed: int
    device: torch.device
    plan: TrainingPlan | None = None
    minutes: float | None = None


class TrainingLoop:
    """State of a training run: model, optimizers, batches, and the position in the run.

    Attributes:
        position: epoch, step, and the metrics so far.
        processes: those that share the prefixes of each step.
        requests: what the processes requested in the last step.
        plan: length of the run.
        best_weights: weights with the best validation metric, if these are kept.
    """

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        settings: LoopSettings,
        *,
        validate: Validate | None,
        on_interval: OnInterval | None = None,
        checkpoints: Checkpoints | None,
        interrupt: Interrupt,
    ):
        self.model = model
        self.encoder = model.encoder.train()
        self.settings = settings
        self.plan = settings.plan or TrainingPlan.create(settings.config, sessions)
        self.config = replace(settings.config, recent=self.plan.recent)
        self.precision = choose_precision(self.config.precision, settings.device)
        self.validate = validate
        self.on_interval = on_interval
        self.keeps_best = validate is not None and self.config.keep == "best"
        self.checkpoints = checkpoints
        self.interrupt = interrupt
        if current().are_several and self.encoder.mixes_rows:
            raise ConfigError(
                f"{model.name} cannot be trained by several processes: in training its queries "
                "depend on the other sessions of a step; start it without torchrun"
            )
        self.batch_source = make_batch_source(
            model, sessions, self.config, seed=settings.seed, device=settings.device
        )
        is_computed = self.encoder.candidate_rows is None and not self.encoder.table()[0].is_leaf
        if self.config.sparse and is_computed:
            raise ConfigError(
                f"sparse must be false for {model.name}: it computes its item table from other "
                "weights; set sparse=false"
            )
        self.optimizers = Optimizers(self.encoder, self.config)
        self.processes = current()
        self.requests = Requests()
        self._exchanges: dict[int, GradientExchange] = {}
        self.position = TrainingPosition()
        self.best_weights: dict[str, Tensor] = {}
        self.last_saved = time.monotonic()
        minutes = settings.minutes
        self.deadline = math.inf if minutes is None else self.last_saved + 60 * minutes

    def run(self, progress: Progress, trackers: Sequence[Tracker]) -> None:
        """Train from the current position to the end; the model then has the weights to keep."""
        with ExitStack() as stack:
            logs: list[Tracker] = list(trackers)
            if self.checkpoints is not None and self.processes.is_first:
                folder, step = self.checkpoints.folder, self.position.total_steps
                logs.insert(0, stack.enter_context(closing(MetricsLog(folder, after_step=step))))
            self.reporter = RunReporter(
                progress, logs, self.batch_source, self.plan.ends[-1], self.config.metric
            )
            while not self.position.finished:
                self.monitor = LossMonitor(self.optimizers.named, self.position)
                self._train_interval()
                self._end_interval()
        if self.keeps_best:
            self.encoder.load_state_dict(self.best_weights)

    def _train_interval(self) -> None:
        """Train up to the next validation, or up to the deadline."""
        self.encoder.train()
        end = self.plan.ends[len(self.position.history)]
        while self._passes() < end or self._passes() == self.position.epoch + 1:
            if not self._train_within_epoch(end):
                break
        self.monitor.read()
        self.monitor.check_weights()

    def _train_within_epoch(self, end: float) -> bool:
        """Train up to `end` passes or the end of the epoch; return False at the deadline."""
        position = self.position
        began = time.perf_counter()
        with closing(self.batch_source.steps(position.epoch, position.step)) as steps:
            for step in steps:
                self._train_step(step)
                now = time.perf_counter()
                position.seconds += now - began
                began = now
                label = step.label if isinstance(step, AuxiliaryStep) else None
                self.reporter.step(position, self.monitor, label)
                self._save_if_due()
                if self.requests.stop:
                    return False
                if end <= self._passes() < position.epoch + 1:
                    return True
                began = time.perf_counter()
        position.epoch += 1
        position.step, position.samples = 0, 0
        return True

    def _passes(self) -> float:
        """Completed passes over the sessions."""
        position = self.position
        if position.samples == 0:
            return position.epoch
        return position.epoch + position.samples / self.batch_source.n_samples(position.epoch)

    def _train_step(self, step: TrainingStep | AuxiliaryStep) -> None:
        position = self.position
        optimizers = self.optimizers
        if isinstance(step, AuxiliaryStep):
            assert self.batch_source.task_optimizers is not None
            optimizers = self.batch_source.task_optimizers
        optimizers.zero_grad()
        with matmul_precision(self.precision), self.batch_source.with_rows(step) as step_of_rows:
            with self._autocast():
                loss = self.batch_source.loss(step_of_rows)
            factor = step.share * step.weight
            if loss.requires_grad:
                (loss if factor == 1 else loss * factor).backward()  # type: ignore[no-untyped-call]
        loss = self._sum_over_processes(optimizers, loss.detach(), step.share)
        self.monitor.add(loss, len(step))
        if self.config.clip:
            clip(optimizers.named, self.config.clip, position.total_steps + 1, optimizers.shards)
        if isinstance(step, AuxiliaryStep):
            rate = scheduled_rate(self.config, self.plan, position.epoch)
            optimizers.step(self.batch_source.task_rate * rate)
        else:
            before = self._passes()
            position.samples += len(step)
            position.interval_samples += len(step)
            position.rate = learning_rate(self.config, self.plan, before, self._passes())
            optimizers.step(position.rate)
        position.step += 1
        position.interval_steps += 1
        position.total_steps += 1

    def _sum_over_processes(self, optimizers: Optimizers, loss: Tensor, share: float) -> Tensor:
        """Sum gradients and shares of the loss over the processes, and learn their requests."""
        if not self.processes.are_several:
            return loss
        if id(optimizers) not in self._exchanges:
            self._exchanges[id(optimizers)] = GradientExchange(optimizers, self.processes)
        loss, self.requests = self._exchanges[id(optimizers)].sum(
            loss * share, self._own_requests()
        )
        return loss

    def _own_requests(self) -> Requests:
        """What this process asks for now; process 0 reads the clock for all."""
        now = time.monotonic()
        due = now - self.last_saved >= 60 * self.config.checkpoint_minutes
        return Requests(
            self.interrupt.requested,
            self.processes.is_first and due and self.checkpoints is not None,
            self.processes.is_first and now >= self.deadline,
        )

    def _exchange_requests(self) -> None:
        """Learn the requests of all processes outside of a step."""
        every = self.processes.gather(self._own_requests())
        self.requests = Requests(*map(any, zip(*map(astuple, every), strict=True)))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.settings.device.type, torch.bfloat16)

    def _end_interval(self) -> None:
        """Validate, keep the best weights, and save a checkpoint."""
        position = self.position
        metrics = self._validation_metrics()
        end = self.plan.ends[len(position.history)]
        interval: dict[str, Any] = {
            "epoch": as_number(min(end, self._passes())),
            "steps": position.interval_steps,
            "samples": position.interval_samples,
            **rates(position),
            "seconds": position.seconds,
            **metrics,
        }
        position.history.append(interval)
        if self.keeps_best and end > self.config.pretrain_epochs:
            self._keep_if_best(metrics[self.config.metric])
        self.reporter.interval(position, interval)
        if self.on_interval is not None:
            self.on_interval(end / self.plan.passes, position.history)
        position.interval_steps, position.interval_samples = 0, 0
        position.loss, position.seconds = 0.0, 0.0
        self._exchange_requests()
        position.finished = (
            len(position.history) == len(self.plan.ends)
            or position.since_best >= self.config.patience
            or self.requests.stop
        )
        self.save_checkpoint()
        self._raise_if_interrupted()

    def _keep_if_best(self, value: float) -> None:
        position = self.position
        if position.best is None or value > position.best:
            position.best, position.best_interval = value, len(position.history)
            position.since_best = 0
            self.best_weights = {n: w.clone() for n, w in self.encoder.state_dict().items()}
        else:
            position.since_best += 1

    def _validation_metrics(self) -> dict[str, float]:
        if self.validate is None:
            return {}
        self.reporter.validation(self.position)
        # the weights do not change, so Ctrl-C need not wait for the end of a long validation
        # unless other processes wait for this one
        self.interrupt.deferred = self.processes.are_several
        try:
            metrics = self.processes.from_first(self.validate(self.model))
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
        if not self.processes.are_several:  # others learned the requests with the gradients
            self.requests = self._own_requests()
        if self.requests.interrupt or self.requests.save:
            self.monitor.read()
            self.save_checkpoint()
            self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        is_own = self.interrupt.requested and not self.processes.are_several
        if self.requests.interrupt or is_own:
            raise InterruptedRunError(_interrupted(self.position, self.checkpoints))

    def save_checkpoint(self) -> None:
        """Write a checkpoint, if the run has a folder for checkpoints."""
        if self.checkpoints is not None:
            save_run(self, self.checkpoints)
            self.last_saved = time.monotonic()

    def resume(self) -> None:
        """Restore the state of the checkpoint.

        Raises:
            ArtifactError: the checkpoint is missing, is broken or belongs to another run.
        """
        assert self.checkpoints is not None
        restore_run(self, self.checkpoints)


def _interrupted(position: TrainingPosition, checkpoints: Checkpoints | None) -> str:
    where = f"interrupted at epoch {position.epoch + 1}, step {position.step}"
    if position.step == 0:
        where = f"interrupted after epoch {position.epoch}"
    if checkpoints is None:
        return f"{where}; nothing is saved, because the run has no checkpoint folder"
    return (
        f"{where}; the checkpoint is in {checkpoints.folder}: rerun the same command with --resume "
        "to continue"
    )
