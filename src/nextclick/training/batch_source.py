"""Batch sources: the inputs of each training step and their loss; here for padded sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nextclick.batches.local_negatives import LocalNegatives
from nextclick.batches.prefetch import prefetch
from nextclick.batches.session_order import SessionOrder
from nextclick.core.processes import current
from nextclick.models.ops.prefix_inputs import TensorRecord, to_device
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.encoder_inputs import EncoderInputs
from nextclick.training.objective import Objective
from nextclick.training.training_plan import most_recent

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.models.neural_model import NeuralModel
    from nextclick.models.ops.earlier_sessions import ScoreAdditions
    from nextclick.training.optim import Optimizers
    from nextclick.training.training_config import TrainingConfig

_NEGATIVES, _INPUTS = 1, 2  # purposes of random draws, part of their seed


@dataclass(frozen=True, slots=True, eq=False)
class TrainingStep:
    """Inputs of a step, on the device.

    Attributes:
        items: (B, T) clicks; (B,) for lanes.
        targets: (P,) in 1..N.
        where: (P,) index into the flattened `items` of the click before each target; None if
            every click has a target.
        negatives: (M,) sampled items shared by all prefixes, (P, M) for each prefix, or None.
        starts: (B,) lanes in which a session starts; None for padded sessions.
        weight: factor of the loss in this step.
        context: further inputs of the encoder, by name.
        n_prefixes: number of prefixes of the step in all processes; None is that of `targets`.
        share: factor of the mean loss of these prefixes in that of the step.
        batch_targets: (Q,) targets of the step in all processes, for negatives of the batch; None
            is `targets`.
    """

    items: Tensor
    targets: Tensor
    where: Tensor | None = None
    negatives: Tensor | None = None
    starts: Tensor | None = None
    weight: float = 1.0
    context: dict[str, Tensor | TensorRecord] = field(default_factory=dict)
    n_prefixes: int | None = None
    share: float = 1.0
    batch_targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets) if self.n_prefixes is None else self.n_prefixes


@dataclass(frozen=True, slots=True, eq=False)
class AuxiliaryStep:
    """Inputs of a step of an auxiliary task, on the device; it has no prefixes.

    Attributes:
        arrays: inputs of the task, by name.
        label: name of the task in progress reports.
        weight: factor of the loss in this step.
        share: factor of the loss of this process in that of the step.
    """

    arrays: dict[str, Tensor]
    label: str
    weight: float = 1.0
    share: float = 1.0

    def __len__(self) -> int:
        return 0


class BatchSource(ABC):
    """Yields the steps of an epoch, starting at any step, and computes their losses.

    The first `pretrain_epochs` epochs use all sessions; later ones use the part `recent`.

    Attributes:
        task_optimizers: optimizers of an auxiliary task; None without one.
        task_rate: learning rate of the auxiliary task, as a share of the scheduled rate.
        processes: those that share the prefixes of each step.
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
        self._recent = most_recent(sessions, config.recent)
        self._all = sessions
        # every step asks for the numbers; a million sessions take 23 ms to count
        self._n_samples = (sessions.n_prefixes, self._recent.n_prefixes)
        self.objective = Objective(
            config, sessions.support(), device, clicked_only=model.features is not None
        )
        self.processes = current()

    def _sessions(self, epoch: int) -> Sessions:
        return self._all if epoch < self.config.pretrain_epochs else self._recent

    def _rng(self, epoch: int, step: int, purpose: int) -> np.random.Generator:
        # with three numbers, a third number of 0 would give the draws of [seed, epoch]
        return np.random.default_rng([self.seed, epoch, step, purpose])

    def _negatives(self, epoch: int, step: int, n_steps: int = 1) -> AnyArray | None:
        return self.objective.draw(self._rng(epoch, step, _NEGATIVES), n_steps)  # (K, M)

    def _to_device(self, array: AnyArray) -> Tensor:
        return to_device(torch.from_numpy(array), self.device)

    def n_samples(self, epoch: int) -> int:
        """Number of prefixes in an epoch."""
        return self._n_samples[epoch >= self.config.pretrain_epochs]

    def _loss_of_queries(
        self, queries: Tensor, step: TrainingStep, additions: ScoreAdditions | None = None
    ) -> Tensor:
        rows_of = self.encoder.candidate_rows
        if rows_of is not None and step.negatives is not None:
            return self.objective.of_candidates(
                queries, rows_of, step.targets, step.negatives, step.batch_targets,
                self.encoder.step_items,
            )  # fmt: skip
        table, bias = self.encoder.table()
        return self.objective(
            queries, table, bias, step.targets, step.negatives, additions, step.batch_targets,
            self.encoder.step_items,
        )  # fmt: skip

    def _share(
        self, targets: AnyArray, own: AnyArray | slice, negatives: AnyArray | None
    ) -> dict[str, Any]:
        """The fields of a step that says which part of it this process has.

        Args:
            targets: (P,) of the whole step.
            own: which of them this process has.
            negatives: of the whole step, or None.
        """
        if not self.processes.are_several:
            return {}
        counts = self.objective.counts(targets, negatives)
        in_batch = self.objective.in_batch
        return {
            "n_prefixes": len(targets),
            "share": float(counts[own].sum() / max(counts.sum(), 1)),
            "batch_targets": self._to_device(targets) if in_batch else None,
        }

    @contextmanager
    def with_rows(
        self, step: TrainingStep | AuxiliaryStep
    ) -> Iterator[TrainingStep | AuxiliaryStep]:
        """Within this block, split item tables have the rows of the step, and it numbers them."""
        shards = self.encoder.shards
        if shards is None or isinstance(step, AuxiliaryStep):
            yield step
            return
        items = (step.items, step.targets, step.negatives, step.batch_targets)
        with shards.rows_of(step.context, *items) as (context, (clicks, targets, negatives, batch)):
            yield replace(
                step, items=clicks, targets=targets, negatives=negatives, batch_targets=batch,
                context=context,
            )  # fmt: skip

    @abstractmethod
    def steps(
        self, epoch: int, first_step: int
    ) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """Yield the inputs of each step of an epoch, starting at `first_step`."""

    @abstractmethod
    def loss(self, step: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of the targets of a step.

        If it requires no gradient, the parameters already have that of weight · loss, or there is
        none.
        """

    def state(self) -> dict[str, Tensor]:
        """State that a resumed run needs besides epoch and step."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore a state that `state` returned.

        Raises:
            ArrayError: a tensor is missing, unknown, or has another type or shape.
        """
        check_same_tensors(state, {})


class SessionBatchSource(BatchSource):
    """Batches of padded sessions; one pass of the encoder covers all their prefixes."""

    def __init__(
        self,
        model: NeuralModel,
        sessions: Sessions,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ):
        required = model.requires(model.config)
        local = config.negative_source == "batch"
        sessions = replace(
            sessions,
            times=sessions.times if required & {"times", "history"} else None,
            users=sessions.users if local or required & {"users", "history"} else None,
            blocks=sessions.blocks if "blocks" in required else None,
        )
        super().__init__(model, sessions, config, seed=seed, device=device)
        self._max_length = model.max_length
        self._orders: dict[int, SessionOrder] = {}
        self._inputs = EncoderInputs(model, sessions)
        self._local_negatives = (
            LocalNegatives(sessions, config.negatives, config.reject) if local else None
        )

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
                    length_window=self.config.length_window,
                )
            }
        return self._orders[id(sessions)]

    def steps(
        self, epoch: int, first_step: int
    ) -> Generator[TrainingStep | AuxiliaryStep, None, None]:
        """Yield one padded batch per step."""
        if first_step == 0:
            self.encoder.begin_epoch()
        with closing(prefetch(self._batches(epoch, first_step))) as steps:
            yield from steps

    def _batches(self, epoch: int, first_step: int) -> Iterator[TrainingStep]:
        plan = self._order(epoch).plan(epoch)
        for step in range(first_step, len(plan)):
            whole, drawn = self._inputs.draw(plan[step], self._rng(epoch, step, _INPUTS))
            negatives: AnyArray | None
            if self._local_negatives is not None:
                negatives = self._local_negatives.draw(whole, self._rng(epoch, step, _NEGATIVES))
            else:
                sampled = self._negatives(epoch, step)
                negatives = None if sampled is None else sampled[0]
            rows, own = whole.share(self.processes.rank, self.processes.size)
            share = self._share(whole.targets, own, negatives)
            batch = whole
            if self.processes.are_several:
                batch = whole.take(rows, own)
                drawn = drawn.take(rows, batch.items.shape[1])
                if negatives is not None and negatives.ndim == 2:
                    negatives = negatives[own]
            context = self._inputs.context(batch, drawn) if len(batch) else {}
            yield TrainingStep(
                self._to_device(batch.items),
                self._to_device(batch.targets),
                where=self._to_device(batch.where),
                negatives=None if negatives is None else self._to_device(negatives),
                context={
                    name: value.to(self.device)
                    if isinstance(value, TensorRecord)
                    else self._to_device(value)
                    for name, value in context.items()
                },
                **share,
            )

    def loss(self, step: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of all prefixes of the batch."""
        assert isinstance(step, TrainingStep)
        if not len(step.targets):  # other processes have all of them
            return step.items.new_zeros((), dtype=torch.float32)
        queries = self.encoder(step.items, **step.context)  # (B, T, D)
        assert step.where is not None
        queries = queries.flatten(0, 1).index_select(0, step.where)  # (P, D)
        rows = step.where // step.items.shape[1]
        additions = self.encoder.additions(queries, rows, step.context)
        return self._loss_of_queries(queries, step, additions)
