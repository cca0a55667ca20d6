"""Trains a neural model and returns a summary of the run.

With several processes, each computes a share of every step, and their gradients are summed.

Training is deterministic: the same arguments, number of threads and CPU give bit-identical weights,
whether or not the run is interrupted and resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextclick.core.processes import current
from nextclick.core.types import silent
from nextclick.errors import InterruptedRunError, ReportedError, TrainingError
from nextclick.models.ops.torch_threads import use_torch_threads
from nextclick.training.config_checks import check_training
from nextclick.training.device import check_precision, choose_device, seeded, thread_count
from nextclick.training.interrupt import Interrupt
from nextclick.training.loop import LoopSettings, TrainingLoop
from nextclick.training.memory_reuse import reuse_freed_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.checkpoint import Checkpoints
    from nextclick.training.loop import OnInterval, Validate
    from nextclick.training.trackers import Tracker
    from nextclick.training.training_config import TrainingConfig
    from nextclick.training.training_plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """Summary of a training run.

    Attributes:
        selected_plan: the plan of the run up to the weights that the model has.
        epochs: completed passes over the sessions.
        selected: the record in `history` of the weights that the model has.
        history: of each interval between validations: passes completed at its end (`epoch`), loss,
            learning rate, samples/s, seconds and validation metrics.
        samples_per_second: prefixes divided by the wall time of all steps, loading included.
        seconds: wall time of all steps.
        device: cpu or cuda.
        threads: number of threads.
    """

    selected_plan: TrainingPlan
    epochs: float
    selected: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    samples_per_second: float
    seconds: float
    device: str
    threads: int


class Trainer:
    """Trains a model with a config."""

    def __init__(
        self,
        model: NeuralModel,
        config: TrainingConfig,
        *,
        seed: int = 0,
        device: str = "auto",
        plan: TrainingPlan | None = None,
        minutes: float | None = None,
    ):
        """Check the config against the machine.

        Args:
            model: model with initial weights, or with weights to continue from.
            config: training parameters.
            seed: seed of session order, negatives and dropout.
            device: auto, cpu or cuda.
            plan: length of the run and of its schedule, as an earlier run selected it; None is that
                of the config for the sessions.
            minutes: stop after the step that exceeds this time, which is not reproducible. None is
                no limit.

        Raises:
            ConfigError: incompatible parameters, or a device, precision or number of threads that
                the machine does not have.
        """
        check_training(config)
        config = config.for_catalog(model.n_items)
        self.model = model
        self._settings = LoopSettings(config, seed, choose_device(device), plan, minutes)
        check_precision(config.precision, self._settings.device)
        candidates = config.negatives + config.in_batch * config.max_batch_prefixes
        if config.loss == "ce":
            candidates = model.n_items
        products = config.max_batch_prefixes * candidates * model.encoder.width // current().size
        self._threads = thread_count(config.threads, products)

    def run(
        self,
        sessions: Sessions,
        *,
        validate: Validate | None = None,
        on_interval: OnInterval | None = None,
        checkpoints: Checkpoints | None = None,
        trackers: Sequence[Tracker] = (),
        progress: Progress = silent,
    ) -> TrainingSummary:
        """Train the model; afterwards it is on the CPU with the final weights.

        With keep=best these are the weights of the validation with the largest `metric`. Without
        `validate`, or with keep=last, they are the weights of the end.

        Args:
            sessions: training sessions.
            validate: returns metrics of the model, including `config.metric`.
            on_interval: receives the share of the training that is done, and the metrics of all
                intervals between validations so far; an exception it raises ends the training.
            checkpoints: where to write checkpoints; None writes none.
            trackers: receive the records of `metrics.jsonl`.
            progress: receives the completed prefixes of all epochs. The part of a stage after the
                first " · " varies: epoch, loss, samples/s, last validation.

        Raises:
            TrainingError: a loss, gradient or weight is not finite.
            InterruptedRunError: Ctrl-C; the message states how to resume.
            ArtifactError: the checkpoint belongs to another run.
            OutputError: a checkpoint cannot be written.
            EmptyLogError: no session has a target.
        """
        encoder, processes = self.model.encoder, current()
        with (
            reuse_freed_memory(),
            use_torch_threads(self._threads),
            seeded(self._settings.seed),
            Interrupt() as interrupt,
        ):
            encoder.to(self._settings.device)
            try:
                loop = processes.agree(
                    lambda: TrainingLoop(
                        self.model,
                        sessions,
                        self._settings,
                        validate=validate,
                        on_interval=on_interval,
                        checkpoints=checkpoints,
                        interrupt=interrupt,
                    )
                )
                if not processes.is_first:  # dropout of its own, in its own share of the prefixes
                    torch.manual_seed(_seed_of(self._settings.seed, processes.rank))
                if checkpoints is not None and checkpoints.resume:
                    loop.resume()
                loop.run(
                    progress if processes.is_first else silent,
                    trackers if processes.is_first else (),
                )
            except (TrainingError, InterruptedRunError) as error:  # all processes raise it
                if processes.is_first:
                    raise
                raise ReportedError(f"process 0 reports: {error}") from error
            finally:
                encoder.to("cpu").eval()
                if encoder.shards is None:
                    self.model.teardown()
            if encoder.shards is not None:  # exchanges rows, which a failed process cannot
                self.model.teardown()
        return self._summary(loop)

    def _summary(self, loop: TrainingLoop) -> TrainingSummary:
        position = loop.position
        history = tuple(position.history)
        best = position.best_interval or len(history)
        seconds = sum(epoch["seconds"] for epoch in history)
        return TrainingSummary(
            selected_plan=loop.plan.until(best),
            epochs=history[-1]["epoch"],
            selected=history[best - 1],
            history=history,
            samples_per_second=sum(epoch["samples"] for epoch in history) / max(seconds, 1e-9),
            seconds=seconds,
            device=self._settings.device.type,
            threads=self._threads,
        )


def _seed_of(seed: int, rank: int) -> int:
    """The seed of the dropout of a process other than process 0."""
    return int(np.random.SeedSequence([seed, rank]).generate_state(1, np.uint64)[0] >> 1)
