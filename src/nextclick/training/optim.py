"""Optimizers, learning rate schedules and gradient clipping, for dense and sparse gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nextclick.core.array_checks import ArrayError
from nextclick.core.processes import current
from nextclick.errors import TrainingError
from nextclick.models.encoder import Encoder
from nextclick.models.ops.finite import is_finite
from nextclick.training.adagrad import Adagrad
from nextclick.training.checkpoint_checks import check_tensor
from nextclick.training.row_adam import RowAdam

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.models.encoder import Task
    from nextclick.models.sharding.item_shards import ItemShards
    from nextclick.training.training_config import TrainingConfig
    from nextclick.training.training_plan import TrainingPlan

NamedParameters = list[tuple[str, nn.Parameter]]


class Optimizers:
    """The optimizers of a model: one each for dense, undecayed and sparse parameters.

    Attributes:
        named: the trained parameters.
        tables: ids of the parameters with sparse gradients.
        shards: the item tables, if they are split over processes.
    """

    def __init__(self, trained: Encoder | Task, config: TrainingConfig):
        """Create the optimizers of a config.

        Args:
            trained: an encoder or an auxiliary task. With `config.sparse`, the embeddings of the
                encoder are switched to sparse gradients.
            config: names the optimizer and its parameters.
        """
        tables: set[int] = set()
        if config.sparse:
            assert isinstance(trained, Encoder)
            embeddings = [m for m in trained.modules() if isinstance(m, nn.Embedding)]
            for module in embeddings:
                module.sparse = True
            tables = {id(module.weight) for module in embeddings} | {id(trained.table()[1])}
        self.tables = tables
        self.shards = trained.shards if isinstance(trained, Encoder) else None
        self.named: NamedParameters = [
            (n, p) for n, p in trained.named_parameters() if p.requires_grad
        ]
        dense = [(n, p) for n, p in self.named if id(p) not in tables]
        sparse = [p for _, p in self.named if id(p) in tables]
        undecayed_names = {
            n for n, _ in dense if isinstance(trained, Encoder) and not trained.decays(n)
        }
        decayed = [p for n, p in dense if n not in undecayed_names]
        undecayed = [p for n, p in dense if n in undecayed_names]
        self._optimizers = [make_optimizer(config, decayed)] if decayed else []
        if undecayed:
            self._optimizers.append(make_optimizer(replace(config, weight_decay=0.0), undecayed))
        if sparse:
            self._optimizers.append(make_optimizer(config, sparse, sparse=True))

    def zero_grad(self) -> None:
        """Reset all gradients."""
        # torch's zero_grad takes ten times as long, a measurable part of a GRU4Rec step
        for _, parameter in self.named:
            parameter.grad = None

    def step(self, rate: float) -> None:
        """Update the weights with the learning rate `rate`."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """State of the optimizers, as `OPTIMIZER.PARAMETER.NAME` with the numbers of both."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value)  # RowAdam's step is an int
            for number, optimizer in enumerate(self._optimizers)
            for index, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }

    def split_states(self) -> set[str]:
        """Names in `state` of the states that have a row for each item of a split table."""
        split = set() if self.shards is None else set(map(id, self.shards.parameters))
        return {
            f"{number}.{index}.{name}"
            for number, optimizer in enumerate(self._optimizers)
            for index, parameter in enumerate(optimizer.param_groups[0]["params"])
            if id(parameter) in split
            for name, value in optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor) and value.ndim
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that `state` returned.

        Raises:
            ArrayError: a tensor does not belong to a parameter, or has another shape.
        """
        states: list[dict[int, dict[str, Tensor | int]]] = [{} for _ in self._optimizers]
        for key, value in state.items():
            owner, index, name = key.split(".", 2)
            if int(owner) >= len(states):
                raise ArrayError(f"{key} belongs to no optimizer")
            parameters = self._optimizers[int(owner)].param_groups[0]["params"]
            if int(index) >= len(parameters):
                raise ArrayError(f"{key} belongs to no parameter")
            if name == "last":  # the step of each row
                check_tensor(
                    key, value, torch.zeros(len(parameters[int(index)]), dtype=torch.int64)
                )
            elif value.ndim:  # all others are counters; a compiled kernel does not check a shape
                check_tensor(key, value, parameters[int(index)])
            is_count = value.dtype == torch.int64 and value.ndim == 0
            state_of_parameter = states[int(owner)].setdefault(int(index), {})
            state_of_parameter[name] = int(value) if is_count else value
        for optimizer, loaded in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": loaded})
            parameters = optimizer.param_groups[0]["params"]
            for number, of_parameter in loaded.items():
                if "last" in of_parameter:  # PyTorch has converted it to the type of the weights
                    parameter, last = parameters[number], torch.as_tensor(of_parameter["last"])
                    optimizer.state[parameter]["last"] = last.to(parameter.device, copy=True)


def make_optimizer(
    config: TrainingConfig, parameters: list[nn.Parameter], *, sparse: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of a config; `sparse` for parameters with sparse gradients."""
    rate, weight_decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adagrad":
        return Adagrad(parameters, lr=rate, momentum=config.momentum, weight_decay=weight_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=config.momentum, weight_decay=weight_decay
        )
    if sparse:
        return RowAdam(parameters, lr=rate)
    adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return adam(parameters, lr=rate, weight_decay=weight_decay, fused=True)


def learning_rate(config: TrainingConfig, plan: TrainingPlan, before: float, after: float) -> float:
    """The learning rate of a step from `before` to `after`, both in passes over the sessions.

        rate · warm-up · decay,  warm-up = min(1, after · steps per pass / warm_up)

    with the decay of `scheduled_rate`. The warm-up uses the end of the step and the decay its
    start, so no step has a rate of 0.
    """
    steps = after * plan.steps_per_pass
    warm_up = min(steps / config.warm_up, 1.0) if config.warm_up else 1.0
    return warm_up * scheduled_rate(config, plan, before)


def scheduled_rate(config: TrainingConfig, plan: TrainingPlan, done: float) -> float:
    """The learning rate after `done` passes without the warm-up, rate · decay.

    decay is 1 (none), factor ^ ⌊done / every⌋ (step), (1 + cos π e) / 2 (cosine) or 1 − e (linear)
    with e = done / planned passes.
    """
    share = done / plan.passes
    if config.schedule == "step":
        decay = config.schedule_factor ** (int(done) // config.schedule_every)
    elif config.schedule == "cosine":
        decay = (1 + math.cos(math.pi * share)) / 2
    elif config.schedule == "linear":
        decay = 1 - share
    else:
        decay = 1.0
    return config.learning_rate * decay


@torch.no_grad()
def clip(
    named: NamedParameters, limit: float, step: int, shards: ItemShards | None = None
) -> float:
    """Scale all gradients so that their joint norm is at most `limit`; returns the norm before.

    Args:
        named: the parameters.
        limit: of the norm.
        step: for messages.
        shards: the parameters that are split over processes, or None.

    Raises:
        TrainingError: a gradient is not finite.
    """
    values = []
    for _, parameter in named:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
                values.append(parameter.grad.values())
            else:
                values.append(parameter.grad)
    norms = torch.stack([g.norm() for g in values])
    if shards is not None:
        split = set(map(id, shards.parameters))
        is_split = torch.tensor([id(p) in split for _, p in named if p.grad is not None])
        others = shards.processes.gather(norms[is_split].cpu())
        norms = torch.cat([norms[~is_split].cpu(), *others])
    norm = float(torch.linalg.vector_norm(norms))
    if not math.isfinite(norm):
        names = non_finite_names(named, "grad") or "all"
        raise TrainingError(
            f"step {step}: the gradient of {names} is not finite; lower learning_rate, or set "
            "precision=float32"
        )
    if norm > limit:
        for gradient in values:
            gradient.mul_(limit / norm)
    return norm


def non_finite_names(named: NamedParameters, attribute: str = "data") -> str:
    """Names of the parameters with weights (`data`) or gradients (`grad`) that are not finite.

    With several processes, all call it together: one may have the rows that are not finite.
    """
    names = []
    for name, parameter in named:
        tensor: Tensor | None = getattr(parameter, attribute)
        if tensor is not None:
            values = tensor.coalesce().values() if tensor.is_sparse else tensor
            if not is_finite(values):
                names.append(name)
    found = {name for of_process in current().gather(names) for name in of_process}
    return ", ".join(name for name, _ in named if name in found)
