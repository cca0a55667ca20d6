"""The batch source for session-parallel lanes, as GRU4Rec trains."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextclick.batches.parallel_sessions import LaneOrder
from nextclick.batches.prefetch import prefetch
from nextclick.errors import ConfigError
from nextclick.training.batch_source import AuxiliaryStep, BatchSource, TrainingStep
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.compiled_step import CompiledStep

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from nextclick.batches.parallel_sessions import LaneSteps
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.training_config import TrainingConfig


class LaneBatchSource(BatchSource):
    """Session-parallel lanes: each step takes one click of every lane.

    The state of a lane carries over from step to step without its gradient. The loss of a step is
    the sum over its active lanes divided by the number of all lanes, as in the authors' code. The
    few lanes that are active at the end of an epoch therefore have the same weight as any other.
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
                f"order must be sessions for {model.name}, got lanes: its encoder has no recurrent "
                "state; set order=sessions"
            )
        size = self.processes.size
        if config.batch_size < size:
            raise ConfigError(
                f"batch_size must be at least {size}, one lane for each process, got "
                f"{config.batch_size}; start fewer processes"
            )
        first, stop = (
            config.batch_size * r // size for r in (self.processes.rank, self.processes.rank + 1)
        )
        self._lanes = slice(first, stop)
        self._state: Tensor = self._initial_state()
        self._compiled = CompiledStep.create(self.encoder, config, self.objective, device)

    def _initial_state(self) -> Tensor:
        """(L, B, H), for the lanes of this process."""
        return self.encoder.initial_state(self._lanes.stop - self._lanes.start)

    def steps(self, epoch: int, first_step: int) -> Generator[TrainingStep, None, None]:
        """Yield one click of every lane per step."""
        if first_step == 0:
            self._state = self._initial_state()
        n_steps = 0
        with closing(prefetch(self._chunks(epoch))) as chunks:
            for lanes, inputs, targets, starts, negatives, shares in chunks:
                for k in range(max(first_step - n_steps, 0), len(lanes)):
                    sampled = None if negatives is None else negatives[k]
                    yield self._step(lanes, k, inputs[k], targets[k], starts[k], sampled, shares[k])
                n_steps += len(lanes)

    def _chunks(
        self, epoch: int
    ) -> Iterator[tuple[LaneSteps, Tensor, Tensor, Tensor, Tensor | None, list[dict[str, Any]]]]:
        """Yield K steps at a time with their (K, B) inputs, targets, starts, negatives, shares."""
        order = LaneOrder(
            self._sessions(epoch),
            n_lanes=self.config.batch_size,
            seed=self.seed,
            shuffle=self.config.shuffle,
            min_active_lanes=1 if self.config.negatives or self.config.loss == "ce" else 2,
        )
        for chunk, lanes in enumerate(order.steps(epoch)):
            sampled = self._negatives(epoch, chunk, len(lanes))  # (K, M)
            negatives = None if sampled is None else self._to_device(sampled)
            arrays = (lanes.inputs, lanes.targets, lanes.starts)
            inputs, targets, starts = (
                self._to_device(np.ascontiguousarray(array[:, self._lanes])) for array in arrays
            )
            shares = [
                self._share_of_lanes(lanes.targets[k], None if sampled is None else sampled[k])
                for k in range(len(lanes))
            ]
            yield lanes, inputs, targets, starts, negatives, shares

    def _share_of_lanes(self, targets: AnyArray, negatives: AnyArray | None) -> dict[str, Any]:
        """See `_share`; of the (B,) targets of a step, 0 in lanes that are not active."""
        if not self.processes.are_several:
            return {}
        is_own = np.zeros(len(targets), dtype=np.bool_)
        is_own[self._lanes] = True
        active = targets != 0
        return self._share(targets[active], is_own[active], negatives)

    def _step(
        self,
        lanes: LaneSteps,
        k: int,
        inputs: Tensor,
        targets: Tensor,
        starts: Tensor,
        negatives: Tensor | None,
        share: dict[str, Any],
    ) -> TrainingStep:
        n_lanes = self.config.batch_size
        if lanes.filled[k] == n_lanes:
            return TrainingStep(inputs, targets, None, negatives, starts, **share)
        where = targets.nonzero()[:, 0]  # (P,), only at the end of an epoch
        weight = float(lanes.filled[k] / n_lanes)
        return TrainingStep(inputs, targets[where], where, negatives, starts, weight, **share)

    def loss(self, step: TrainingStep | AuxiliaryStep) -> Tensor:
        """() mean loss of the active lanes; updates the state of all lanes.

        A compiled step sets the gradients itself, and its loss requires none.
        """
        assert isinstance(step, TrainingStep)
        assert step.starts is not None
        state = self._state.masked_fill(step.starts[None, :, None], 0.0)  # (L, B, H)
        if self._compiled is not None:
            loss, self._state = self._compiled(step, state)
            return loss
        queries, state = self.encoder.step(step.items, state)  # (B, D)
        self._state = state.detach()
        if step.where is not None:
            queries = queries.index_select(0, step.where)  # (P, D)
        if not len(step.targets):  # other processes have all of them
            return queries.new_zeros(())
        return self._loss_of_queries(queries, step)

    def state(self) -> dict[str, Tensor]:
        """Recurrent state of the lanes of all processes."""
        return {"lanes": torch.cat(self.processes.gather(self._state.cpu()), dim=1)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore a state that `state` returned."""
        check_same_tensors(state, {"lanes": self.encoder.initial_state(self.config.batch_size)})
        self._state = state["lanes"][:, self._lanes].to(self.device)
