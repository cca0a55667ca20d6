"""Training with an auxiliary task: each epoch trains the task first, then the next click."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from nextclick.batches.prefetch import prefetch
from nextclick.training.batch_source import AuxiliaryStep, SessionBatchSource
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.lane_batch_source import LaneBatchSource
from nextclick.training.optim import Optimizers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import torch
    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.models.encoder import Task
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.batch_source import BatchSource, TrainingStep
    from nextclick.training.training_config import TrainingConfig

_OPTIMIZER = "optimizer."


class AlternatingBatchSource(SessionBatchSource):
    """The steps of an auxiliary task, then those of the prefixes, in each epoch.

    The task has its own optimizer, without warm-up or weight decay. Its learning rate is the
    scheduled rate at the start of the epoch, times the rate of the task. The weights that belong
    to the task alone, and the state of its optimizer, are part of the checkpoint.
    """

    task_optimizers: Optimizers

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        config: TrainingConfig,
        task: Task,
        *,
        seed: int,
        device: torch.device,
    ):
        super().__init__(model, sessions, config, seed=seed, device=device)
        self._task = task.to(device)
        self.task_rate = task.rate
        self.task_optimizers = Optimizers(task, replace(config, sparse=False, weight_decay=0.0))
        shared = {id(p) for p in self.encoder.parameters()}
        self._task_weights = {n: p for n, p in task.named_parameters() if id(p) not in shared}

    def steps(
        self, epoch: int, first_step: int
    ) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """Yield the steps of the task, then those of the prefixes."""
        n_steps = 0
        with closing(prefetch(self._task_steps(epoch))) as steps:
            for step in steps:
                if n_steps >= first_step:
                    yield step
                n_steps += 1
        yield from super().steps(epoch, max(first_step - n_steps, 0))

    def _task_steps(self, epoch: int) -> Iterator[AuxiliaryStep]:
        for arrays in self._task.steps(epoch):
            tensors = {name: self._to_device(array) for name, array in arrays.items()}
            # each process computes the whole step
            yield AuxiliaryStep(tensors, self._task.label, share=1 / self.processes.size)

    def loss(self, step: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of a step of the task or of the prefixes."""
        if isinstance(step, AuxiliaryStep):
            return self._task.loss(step.arrays)
        return super().loss(step)

    def state(self) -> dict[str, Tensor]:
        """Weights that belong to the task alone, and the state of its optimizer."""
        weights = {name: weight.detach() for name, weight in self._task_weights.items()}
        optimizer = self.task_optimizers.state()
        return weights | {_OPTIMIZER + name: value for name, value in optimizer.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore a state that `state` returned."""
        prefix = len(_OPTIMIZER)
        optimizer = {n[prefix:]: value for n, value in state.items() if n.startswith(_OPTIMIZER)}
        weights = {n: value for n, value in state.items() if not n.startswith(_OPTIMIZER)}
        check_same_tensors(weights, dict(self._task_weights))
        for name, weight in self._task_weights.items():
            weight.data.copy_(weights[name])
        self.task_optimizers.load_state(optimizer)


def make_batch_source(
    model: NeuralModel,
    sessions: Sessions,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device,
) -> BatchSource:
    """The batch source for the order of a config and for the auxiliary task of a model, if any."""
    model.setup(sessions)
    if config.order == "lanes":
        return LaneBatchSource(model, sessions, config, seed=seed, device=device)
    task = model.task(sessions, seed)
    if task is not None:
        return AlternatingBatchSource(model, sessions, config, task, seed=seed, device=device)
    return SessionBatchSource(model, sessions, config, seed=seed, device=device)
