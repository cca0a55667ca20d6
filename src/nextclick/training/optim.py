"""Optimizers, schedules and clipping, for gradients that are dense or hold touched rows only."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nextclick.errors import TrainingError
from nextclick.models.neural_model import Encoder
from nextclick.training.adagrad import Adagrad

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.models.neural_model import Task
    from nextclick.training.training_config import TrainingConfig

Named = list[tuple[str, nn.Parameter]]


class Optimizers:
    """The optimizer of a model; others where gradients are sparse, or weights do not decay."""

    def __init__(self, trained: Encoder | Task, config: TrainingConfig):
        """Prepare the optimizers that `config` names.

        Args:
            trained: an encoder, or the task of one. With `sparse` set, the embeddings of the
                encoder give sparse gradients from here on.
            config: names them.
        """
        tables: set[int] = set()
        if config.sparse:
            assert isinstance(trained, Encoder)
            embeddings = [m for m in trained.modules() if isinstance(m, nn.Embedding)]
            for module in embeddings:
                module.sparse = True
            tables = {id(module.weight) for module in embeddings} | {id(trained.table()[1])}
        self.named: Named = [(n, p) for n, p in trained.named_parameters() if p.requires_grad]
        dense = [(n, p) for n, p in self.named if id(p) not in tables]
        rows = [p for _, p in self.named if id(p) in tables]
        exempt = {n for n, _ in dense if isinstance(trained, Encoder) and not trained.decays(n)}
        decayed = [p for n, p in dense if n not in exempt]
        spared = [p for n, p in dense if n in exempt]
        self._each = [make(config, decayed)] if decayed else []
        if spared:
            self._each.append(make(replace(config, weight_decay=0.0), spared))
        if rows:
            self._each.append(make(config, rows, sparse=True))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        # the optimizers' own way takes ten times as long, which a step of GRU4Rec would notice
        for _, parameter in self.named:
            parameter.grad = None

    def step(self, rate: float) -> None:
        """Change the weights, with a learning rate of `rate`."""
        for each in self._each:
            for group in each.param_groups:
                group["lr"] = rate
            each.step()

    def state(self) -> dict[str, Tensor]:
        """Everything the optimizers remember, by a name made of numbers and theirs."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value)  # SparseAdam counts in an int
            for number, each in enumerate(self._each)
            for index, state in each.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for number, each in enumerate(self._each):
            found: dict[int, dict[str, Tensor | int]] = {}
            for key, value in state.items():
                of, index, name = key.split(".", 2)
                if int(of) == number:
                    counts = value.dtype == torch.int64 and value.ndim == 0
                    found.setdefault(int(index), {})[name] = int(value) if counts else value
            each.load_state_dict({**each.state_dict(), "state": found})


def make(
    config: TrainingConfig, parameters: list[nn.Parameter], *, sparse: bool = False
) -> torch.optim.Optimizer:
    """The optimizer that a config names; `sparse` for parameters whose gradients are sparse."""
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adagrad":
        return Adagrad(parameters, lr=rate, momentum=config.momentum, weight_decay=decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=decay)
    if sparse:
        return torch.optim.SparseAdam(parameters, lr=rate)
    adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return adam(parameters, lr=rate, weight_decay=decay, fused=True)


def learning_rate(config: TrainingConfig, before: float, after: float) -> float:
    """The rate of a step that begins after `before` epochs and ends after `after`.

        rate · rise · fall,  rise = min(1, after / warm_up)

    with fall as in `fallen_rate`: the first step is the fastest, and no step has a rate of 0.
    """
    rise = min(after / config.warm_up, 1.0) if config.warm_up else 1.0
    return rise * fallen_rate(config, before)


def fallen_rate(config: TrainingConfig, before: float) -> float:
    """The rate after `before` epochs without a warm-up, rate · fall.

    fall is 1 (none), factor ^ ⌊before / every⌋ (step), (1 + cos π e) / 2 (cosine) or 1 − e (linear)
    with e = before / epochs.
    """
    share = before / config.epochs
    if config.schedule == "step":
        fall = config.schedule_factor ** (int(before) // config.schedule_every)
    elif config.schedule == "cosine":
        fall = (1 + math.cos(math.pi * share)) / 2
    elif config.schedule == "linear":
        fall = 1 - share
    else:
        fall = 1.0
    return config.learning_rate * fall


@torch.no_grad()
def clip(named: Named, limit: float, step: int) -> float:
    """Scale all gradients so that their common norm is at most `limit`; the norm before that.

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
    norm = float(torch.linalg.vector_norm(torch.stack([g.norm() for g in values])))
    if not math.isfinite(norm):
        raise TrainingError(
            f"step {step}: the gradient of {not_finite(named, 'grad') or 'all'} is not finite; "
            "lower learning_rate, or set precision=float32"
        )
    if norm > limit:
        for gradient in values:
            gradient.mul_(limit / norm)
    return norm


def not_finite(named: Named, what: str = "data") -> str:
    """The names of the parameters whose weights (`data`) or gradients (`grad`) are not finite."""
    found = []
    for name, parameter in named:
        tensor: Tensor | None = getattr(parameter, what)
        if tensor is not None:
            values = tensor.coalesce().values() if tensor.is_sparse else tensor
            if not torch.isfinite(values).all():
                found.append(name)
    return ", ".join(found)
