"""Reads the rows of this process from the weights of a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from nextclick.core.array_checks import ArrayError
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.ops.finite import is_finite
from nextclick.models.sharding.construction import build_sharded
from nextclick.models.sharding.tensor_reader import TensorReader

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.processes import Processes
    from nextclick.models.neural_model import NeuralModel

M = TypeVar("M", bound="NeuralModel")


def load_sharded(
    model_type: type[M], path: Path, config: Any, n_items: int, processes: Processes
) -> M:
    """Build a trained model with the rows of this process.

    Args:
        model_type: the model.
        path: its weights, a safetensors file.
        config: its config.
        n_items: N.
        processes: all processes.

    Raises:
        ArrayError: a tensor is missing, unknown, not finite, or has another type or shape.
        SafetensorError, OSError: the file cannot be read.
    """
    with TensorReader.open(path) as file:
        info = DatasetInfo.from_state(file, config)
        model = build_sharded(model_type, config, n_items, info, processes, draws=False)
        weights = model.encoder.state_dict()
        if unknown := weights.keys() ^ set(file):
            name = min(unknown)
            raise ArrayError(f"{name!r} is {'unknown' if name in file else 'missing'}")
        shards = model.encoder.shards
        assert shards is not None
        for name, weight in weights.items():
            is_split = name in shards.names
            n = shards.n_rows if is_split else len(weight) if weight.ndim else 1
            first = shards.start if is_split else 0
            if file.shape(name) != (n, *weight.shape[1:]):
                raise ArrayError(
                    f"{name} must have shape {(n, *weight.shape[1:])}, got {file.shape(name)}"
                )
            rows = file.rows(name, first, first + (len(weight) if weight.ndim else 1))
            if rows.dtype != weight.dtype:
                raise ArrayError(f"{name} must be {weight.dtype}, got {rows.dtype}")
            if rows.is_floating_point() and not is_finite(rows):
                raise ArrayError(f"{name} has a value that is not finite")
            weight.copy_(rows.view(weight.shape))
    model.loaded()
    return model
