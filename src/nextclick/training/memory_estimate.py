"""How much memory training will take, before it takes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nextclick.errors import ConfigError
from nextclick.models.neural_model import NO_DATASET_INFO
from nextclick.training.device import seeded

if TYPE_CHECKING:
    from nextclick.models.neural_model import DatasetInfo, NeuralModel
    from nextclick.training.training_config import TrainingConfig

_GIB = 1 << 30
_FLOAT = 4  # bytes
_STATES = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 0}  # numbers kept for each weight
_BLOCK_CELLS = 1 << 24  # logits that the full softmax holds at a time
_PER_SCORE = 6  # copies of a sampled loss's (P, M) scores, gradients among them
_PER_CELL = 40  # numbers of the model's width that an encoder keeps for a click
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    best: int
    checkpoint: int
    loss: int
    encoder: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, name) for name in self.__slots__)

    def check(self, free: int | None) -> None:
        """Refuse what does not fit.

        Raises:
            ConfigError: with the estimate, its parts, and what to change.
        """
        if free is None or self.total <= free:
            return
        parts = sorted(((getattr(self, n), n) for n in self.__slots__), reverse=True)
        told = ", ".join(
            f"{name} {size / _GIB:.2f}" for size, name in parts if size * 50 > self.total
        )
        raise ConfigError(
            f"training needs about {self.total / _GIB:.2f} GiB of memory and {free / _GIB:.2f} GiB "
            f"are free ({told}); {_ADVICE[parts[0][1]]}"
        )


_TABLES = "lower the width of the model, or raise the support that an item needs when preparing"
_ADVICE = {
    "weights": _TABLES,
    "gradients": f"set sparse=true with a sampled loss, or {_TABLES}",
    "optimizer": f"set optimizer=adagrad, or {_TABLES}",
    "best": f"set keep=last, or {_TABLES}",
    "checkpoint": f"set optimizer=adagrad, or {_TABLES}",
    "loss": "lower batch_size or negatives",
    "encoder": "lower batch_size or max_length",
}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """How large a model is.

    Attributes:
        n_weights: of the whole encoder.
        n_items: N.
        width: D, of the table that queries are held against.
        n_own_to_task: weights that belong to the model's task alone, and are not kept.
        n_of_task: weights that the task's optimizer goes over, its own among them.
    """

    n_weights: int
    n_items: int
    width: int
    n_own_to_task: int = 0
    n_of_task: int = 0


def size_on_paper(
    model: type[NeuralModel], config: object, n_items: int, facts: DatasetInfo = NO_DATASET_INFO
) -> ModelSize:
    """The size of a model that is not made: weights grow by as many with every item."""
    with seeded(0):
        one, two = (model(config, n, facts).encoder for n in (1, 2))
    of_one, of_two = (sum(p.numel() for p in encoder.parameters()) for encoder in (one, two))
    table, _ = one.table()
    n_weights = of_one + (n_items - 1) * (of_two - of_one)
    return ModelSize(n_weights, n_items, table.shape[1], *model.task_weights(config, n_items))


def estimate(size: ModelSize, config: TrainingConfig, *, keeps: bool) -> MemoryEstimate:
    """What training takes at its peak, roughly.

    Args:
        size: of the model.
        config: how it is trained.
        keeps: whether checkpoints are written, which copies the largest of their files.
    """
    P, D, W = config.most_prefixes, size.width, size.n_weights
    own, optimized = size.n_own_to_task, W + size.n_of_task
    states = _STATES[config.optimizer] + (config.momentum > 0)
    if config.loss == "ce":
        scores = min(P * size.n_items, _BLOCK_CELLS)
    else:
        rows = D if config.negative_source == "batch" else 1  # each prefix gathers its own
        scores = _PER_SCORE * P * (config.negatives * rows + P * config.in_batch)
    return MemoryEstimate(
        weights=_FLOAT * (W + own),
        gradients=_FLOAT * (own + ((P + config.negatives) * D if config.sparse else W)),
        optimizer=_FLOAT * optimized * states,
        best=_FLOAT * W if config.keep == "best" else 0,
        checkpoint=_FLOAT * max(W * states, W, own + size.n_of_task * states) if keeps else 0,
        loss=_FLOAT * scores,
        encoder=_FLOAT * P * D * _PER_CELL,
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be taken there, None where the machine does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [free for free in (_of_machine(), _of_container()) if free is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    if "SC_PHYS_PAGES" in os.sysconf_names:  # all of it, where nobody says how much is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_container() -> int | None:
    try:
        most = int((_CGROUP / "memory.max").read_text())
        return most - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
