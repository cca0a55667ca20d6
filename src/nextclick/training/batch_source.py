"""What a step of training is given, and the loss it gives: padded sessions, or lanes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nextclick.batches.local_negatives import LocalNegatives
from nextclick.batches.parallel_sessions import LaneOrder
from nextclick.batches.prefetch import prefetched
from nextclick.batches.session_order import SessionOrder
from nextclick.errors import ConfigError
from nextclick.models.ops.prefix_inputs import TensorRecord, to_device
from nextclick.training.encoder_inputs import EncoderInputs
from nextclick.training.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nextclick.batches.parallel_sessions import LaneSteps
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.optim import Optimizers
    from nextclick.training.training_config import TrainingConfig


@dataclass(frozen=True, slots=True, eq=False)
class TrainingStep:
    """What one step needs, on the device.

    Attributes:
        items: (B, T) clicks; (B,) for lanes.
        targets: (P,) in 1..N.
        where: (P,) the cell of `items` after which each target was clicked; None for all of them.
        negatives: (M,) items drawn for this step, (P, M) for each prefix, or None.
        starts: (B,) lanes in which a session begins; None for padded sessions.
        weight: what the mean loss counts in this step.
        context: what the encoder reads besides the clicks, by name.
    """

    items: Tensor
    targets: Tensor
    where: Tensor | None = None
    negatives: Tensor | None = None
    starts: Tensor | None = None
    weight: float = 1.0
    context: dict[str, Tensor | TensorRecord] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class AuxiliaryStep:
    """What a step of a model's own task needs, on the device; it has no prefixes.

    Attributes:
        arrays: by name, for the task.
        label: what people are told meanwhile.
        weight: what the mean loss counts in this step.
    """

    arrays: dict[str, Tensor]
    label: str
    weight: float = 1.0

    def __len__(self) -> int:
        return 0


class BatchSource(ABC):
    """Gives the work of each step of an epoch, from any step on, and makes its loss.

    Before `recent` sets in, the first `pretrain_epochs` epochs learn from all sessions.

    Attributes:
        task_optimizers: for the steps of a task; None where there are none.
        task_rate: the learning rate of those, as a share of that of the others.
    """

    task_optimizers: Optimizers | None = None
    task_rate: float = 1.0

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ):
        self.encoder = model.encoder
        self.config = config
        self.seed = seed
        self.device = device
        n_recent = max(int(len(sessions) * config.recent), 1)
        self._recent = sessions.slice(len(sessions) - n_recent, len(sessions))
        self._all = sessions
        self.objective = Objective(config, sessions.support(), device)

    def _sessions(self, epoch: int) -> Sessions:
        return self._all if epoch < self.config.pretrain_epochs else self._recent

    def _rng(self, epoch: int, step: int, purpose: int) -> np.random.Generator:
        # four numbers: three would draw what [seed, epoch] does where the third is 0
        return np.random.default_rng([self.seed, epoch, step, purpose])

    def _negatives(self, epoch: int, step: int, n_steps: int = 1) -> AnyArray | None:
        return self.objective.draw(self._rng(epoch, step, 1), n_steps)  # (K, M)

    def _moved(self, array: AnyArray) -> Tensor:
        return to_device(torch.from_numpy(array), self.device)

    def n_samples(self, epoch: int) -> int:
        """Prefixes in an epoch."""
        return self._sessions(epoch).n_prefixes

    def _loss(self, queries: Tensor, work: TrainingStep) -> Tensor:
        table, bias = self.encoder.table()
        return self.objective(queries, table, bias, work.targets, work.negatives)

    @abstractmethod
    def works(self, epoch: int, first: int) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """Yield the work of each step of an epoch, from step `first` on."""

    @abstractmethod
    def loss(self, work: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of the targets of a step."""

    def state(self) -> dict[str, Tensor]:
        """What has to be known besides epoch and step."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        del state


class SessionBatchSource(BatchSource):
    """Every prefix of padded sessions in one pass of the encoder."""

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ):
        reads = model.requires(model.config)
        local = config.negative_source == "batch"
        sessions = replace(
            sessions,
            times=sessions.times if "times" in reads else None,
            users=sessions.users if "users" in reads or local else None,
            blocks=sessions.blocks if "blocks" in reads else None,
        )
        super().__init__(model, sessions, config, seed=seed, device=device)
        self._max_length = model.max_length
        self._orders: dict[int, SessionOrder] = {}
        self._context = EncoderInputs(model, sessions)
        self._local = LocalNegatives(sessions, config.negatives, config.reject) if local else None

    def _order(self, epoch: int) -> SessionOrder:
        sessions = self._sessions(epoch)
        if id(sessions) not in self._orders:
            self._orders = {
                id(sessions): SessionOrder(
                    sessions,
                    batch_size=self.config.batch_for(sessions.n_prefixes),
                    max_length=self._max_length,
                    seed=self.seed,
                    shuffle=self.config.shuffle,
                )
            }
        return self._orders[id(sessions)]

    def works(self, epoch: int, first: int) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """One padded batch a step."""
        if first == 0:
            self.encoder.begin_epoch()
        with closing(prefetched(self._built(epoch, first))) as ready:
            yield from ready

    def _built(self, epoch: int, first: int) -> Iterator[TrainingStep]:
        plan = self._order(epoch).plan(epoch)
        for step in range(first, len(plan)):
            batch, context = self._context.of(plan[step], self._rng(epoch, step, 2))
            negatives: AnyArray | None
            if self._local is not None:
                negatives = self._local.draw(batch, self._rng(epoch, step, 1))[None]
            else:
                negatives = self._negatives(epoch, step)
            yield TrainingStep(
                self._moved(batch.items),
                self._moved(batch.targets),
                where=self._moved(batch.where),
                negatives=None if negatives is None else self._moved(negatives[0]),
                context={
                    name: value.to(self.device)
                    if isinstance(value, TensorRecord)
                    else self._moved(value)
                    for name, value in context.items()
                },
            )

    def loss(self, work: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of all prefixes of the batch."""
        assert isinstance(work, TrainingStep)
        queries = self.encoder(work.items, **work.context)  # (B, T, D)
        queries = queries.flatten(0, 1).index_select(0, work.where)  # (P, D)
        return self._loss(queries, work)


class LaneBatchSource(BatchSource):
    """One click of every lane a step; the state goes on from step to step, the gradient does not.

    The loss of a step is the sum over its lanes divided by the number of all lanes, as in the
    authors' code, so that the last few lanes of an epoch count as much as any other.
    """

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ):
        super().__init__(model, sessions, config, seed=seed, device=device)
        if not model.capabilities.recurrent_step:
            raise ConfigError(
                f"order must be sessions for {model.name}, got lanes: it cannot carry a state from "
                "click to click; set order=sessions"
            )
        self._state: Tensor = self.encoder.initial_state(config.batch_size)

    def works(self, epoch: int, first: int) -> Generator[TrainingStep, None, None]:
        """One click of every lane a step."""
        if first == 0:
            self._state = self.encoder.initial_state(self.config.batch_size)
        done = 0
        with closing(prefetched(self._built(epoch))) as ready:
            for steps, inputs, targets, starts, negatives in ready:
                for k in range(max(first - done, 0), len(steps)):
                    drawn = None if negatives is None else negatives[k]
                    yield self._work(steps, k, inputs[k], targets[k], starts[k], drawn)
                done += len(steps)

    def _built(
        self, epoch: int
    ) -> Iterator[tuple[LaneSteps, Tensor, Tensor, Tensor, Tensor | None]]:
        order = LaneOrder(
            self._sessions(epoch),
            n_lanes=self.config.batch_size,
            seed=self.seed,
            shuffle=self.config.shuffle,
            at_least=1 if self.config.negatives or self.config.loss == "ce" else 2,
        )
        for number, steps in enumerate(order.steps(epoch)):
            drawn = self._negatives(epoch, number, len(steps))  # (K, M)
            inputs, targets, starts = map(self._moved, (steps.inputs, steps.targets, steps.starts))
            yield steps, inputs, targets, starts, None if drawn is None else self._moved(drawn)

    def _work(
        self,
        steps: LaneSteps,
        k: int,
        inputs: Tensor,
        targets: Tensor,
        starts: Tensor,
        negatives: Tensor | None,
    ) -> TrainingStep:
        if steps.filled[k] == len(inputs):
            return TrainingStep(inputs, targets, negatives=negatives, starts=starts)
        where = targets.nonzero()[:, 0]  # (P,), at the end of an epoch only
        weight = len(where) / len(inputs)
        return TrainingStep(inputs, targets[where], where, negatives, starts, weight)

    def loss(self, work: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of the lanes that have a session; hands their state on."""
        assert isinstance(work, TrainingStep)
        assert work.starts is not None
        state = self._state.masked_fill(work.starts[None, :, None], 0.0)  # (L, B, H)
        queries, state = self.encoder.step(work.items, state)  # (B, D)
        self._state = state.detach()
        if work.where is not None:
            queries = queries.index_select(0, work.where)  # (P, D)
        return self._loss(queries, work)

    def state(self) -> dict[str, Tensor]:
        """What the lanes know of their sessions."""
        return {"lanes": self._state}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self._state = state["lanes"].to(self.device)
