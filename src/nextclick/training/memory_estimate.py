"""Estimate of the peak memory of training, made before any is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nextclick.core.machine_memory import free_bytes
from nextclick.core.processes import current
from nextclick.errors import ConfigError
from nextclick.models.dataset_info import NO_DATASET_INFO
from nextclick.training.device import seeded

if TYPE_CHECKING:
    from nextclick.models.dataset_info import DatasetInfo
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.training_config import TrainingConfig

_GIB = 1 << 30
_FLOAT = 4  # bytes
_STATES = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 0}  # state values per weight
_BLOCK_CELLS = 1 << 24  # logits in memory at a time in the full softmax
_PER_SCORE = 6  # copies of the (P, M) scores of a sampled loss, including gradients
_PER_CLICK = 40  # vectors of the model's width that an encoder stores per click


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Estimated bytes by use."""

    weights: int
    gradients: int
    optimizer: int
    best: int
    loss: int
    encoder: int

    @property
    def total(self) -> int:
        """Sum of all uses."""
        return sum(getattr(self, name) for name in self.__slots__)

    def check(self, free: int | None) -> None:
        """Check that the estimate fits into free memory.

        Args:
            free: free bytes, or None if unknown, which passes.

        Raises:
            ConfigError: it does not fit; the message names the largest uses and what to change.
        """
        if free is None or self.total <= free:
            return
        parts = sorted(((getattr(self, n), n) for n in self.__slots__), reverse=True)
        largest = ", ".join(
            f"{name} {size / _GIB:.2f}" for size, name in parts if size * 50 > self.total
        )
        raise ConfigError(
            f"training needs about {self.total / _GIB:.2f} GiB of memory and {free / _GIB:.2f} GiB "
            f"are free ({largest}); {_ADVICE[parts[0][1]]}"
        )


_TABLES = (
    "lower the width of the model, prepare the log with a higher min_item_support, or split the "
    "item tables over processes with torchrun and --shard-items"
)
_ADVICE = {
    "weights": _TABLES,
    "gradients": f"set sparse=true with a sampled loss, or {_TABLES}",
    "optimizer": f"set optimizer=adagrad, or {_TABLES}",
    "best": f"set keep=last, or {_TABLES}",
    "loss": "lower batch_size or negatives",
    "encoder": "lower batch_size or max_length",
}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Size of a model.

    Attributes:
        n_weights: weights of the encoder.
        n_items: N.
        width: D, the width of the item table.
        n_task_only: weights that belong to the auxiliary task alone and are not part of the model.
        n_task: weights that the task trains, including those of the encoder.
    """

    n_weights: int
    n_items: int
    width: int
    n_task_only: int = 0
    n_task: int = 0


def expected_size(
    model: type[NeuralModel],
    config: object,
    n_items: int,
    dataset_info: DatasetInfo = NO_DATASET_INFO,
) -> ModelSize:
    """The size of a model, without building it.

    The number of weights is linear in the number of items, so two small models determine it.
    """
    with seeded(0):
        encoders = [model(config, n, dataset_info).encoder for n in (1, 2)]
    with_one, with_two = (sum(p.numel() for p in encoder.parameters()) for encoder in encoders)
    table, _ = encoders[0].table()
    n_weights = with_one + (n_items - 1) * (with_two - with_one)
    return ModelSize(n_weights, n_items, table.shape[1], *model.task_weights(config, n_items))


def estimate(size: ModelSize, config: TrainingConfig) -> MemoryEstimate:
    """Estimate the peak memory of training; writing a checkpoint takes none."""
    config = config.for_catalog(size.n_items)
    P, D, W = config.max_batch_prefixes, size.width, size.n_weights
    task_only, optimized = size.n_task_only, W + size.n_task
    states = _STATES[config.optimizer] + (config.momentum > 0)
    if config.loss == "ce":
        scores = min(P * size.n_items, _BLOCK_CELLS)
    else:
        rows = D if config.negative_source == "batch" else 1  # each prefix gathers its own rows
        scores = _PER_SCORE * P * (config.negatives * rows + P * config.in_batch)
    return MemoryEstimate(
        weights=_FLOAT * (W + task_only),
        gradients=_FLOAT * (task_only + ((P + config.negatives) * D if config.sparse else W)),
        optimizer=_FLOAT * optimized * states,
        best=_FLOAT * W if config.keep == "best" else 0,
        loss=_FLOAT * scores,
        encoder=_FLOAT * P * D * _PER_CLICK,
    )


def free_memory(device: torch.device) -> int | None:
    """Free bytes on a device for each process of its machine; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = free_bytes()
    return None if free is None else free // current().on_host
