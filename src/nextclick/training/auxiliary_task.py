"""Training in turns: before the prefixes of each epoch, a task that the model brings along."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from nextclick.batches.prefetch import prefetched
from nextclick.training.batch_source import AuxiliaryStep, LaneBatchSource, SessionBatchSource
from nextclick.training.optim import Optimizers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import torch
    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.models.neural_model import NeuralModel, Task
    from nextclick.training.batch_source import BatchSource, TrainingStep
    from nextclick.training.training_config import TrainingConfig

_OPTIMIZER = "optimizer."


class AlternatingBatchSource(SessionBatchSource):
    """The steps of a task, then those of the prefixes, epoch by epoch.

    The task has an optimizer of its own, at its share of the learning rate that the
    schedule has at the beginning of the epoch, without warm-up or weight decay. Its own weights and
    those of its optimizer are part of what resumes a run.
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
        self._own = {n: p for n, p in task.named_parameters() if id(p) not in shared}

    def works(self, epoch: int, first: int) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """The steps of the task, and then those of the prefixes."""
        done = 0
        with closing(prefetched(self._task_works(epoch))) as ready:
            for work in ready:
                if done >= first:
                    yield work
                done += 1
        yield from super().works(epoch, max(first - done, 0))

    def _task_works(self, epoch: int) -> Iterator[AuxiliaryStep]:
        for arrays in self._task.works(epoch):
            moved = {name: self._moved(array) for name, array in arrays.items()}
            yield AuxiliaryStep(moved, self._task.label)

    def loss(self, work: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of a step of either kind."""
        if isinstance(work, AuxiliaryStep):
            return self._task.loss(work.arrays)
        return super().loss(work)

    def state(self) -> dict[str, Tensor]:
        """What the task has learned besides the weights of the encoder."""
        own = {name: weight.detach() for name, weight in self._own.items()}
        of_optimizer = self.task_optimizers.state()
        return own | {_OPTIMIZER + name: value for name, value in of_optimizer.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for name, weight in self._own.items():
            weight.data.copy_(state[name])
        prefix = len(_OPTIMIZER)
        self.task_optimizers.load_state(
            {name[prefix:]: value for name, value in state.items() if name.startswith(_OPTIMIZER)}
        )


def make_batch_source(
    model: NeuralModel,
    sessions: Sessions,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device,
) -> BatchSource:
    """The feed of the order that a config names, with the task that the model has."""
    model.setup(sessions)
    if config.order == "lanes":
        return LaneBatchSource(model, sessions, config, seed=seed, device=device)
    task = model.task(sessions, seed)
    if task is not None:
        return AlternatingBatchSource(model, sessions, config, task, seed=seed, device=device)
    return SessionBatchSource(model, sessions, config, seed=seed, device=device)
