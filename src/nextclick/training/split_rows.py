"""The rows of split item tables in a checkpoint: those of each process are a file.

Process 0 writes and reads the files and exchanges the rows with the others, block by block.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from nextclick.models.sharding.remote_tensors import RemoteRows, RemoteTensors
from nextclick.models.sharding.tensor_reader import TensorReader
from nextclick.training.checkpoint import reading, rows_group
from nextclick.training.checkpoint_checks import check_finite_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from nextclick.core.processes import Processes
    from nextclick.models.sharding.item_shards import ItemShards
    from nextclick.training.optim import Optimizers


def take_split_rows(
    groups: dict[str, dict[str, Any]], shards: ItemShards, optimizers: Optimizers
) -> dict[str, Tensor]:
    """Remove the rows of this process from the groups of a checkpoint; return them as GROUP.NAME.

    Args:
        groups: of a checkpoint.
        shards: the split item tables.
        optimizers: their states are split as well.
    """
    names = {
        "weights": set(shards.names),
        "best": set(shards.names),
        "optimizer": optimizers.split_states(),
    }
    return {
        f"{group}.{name}": groups[group].pop(name)
        for group, split in names.items()
        for name in sorted(split & groups[group].keys())
    }


def rows_groups(tensors: RemoteTensors) -> dict[str, dict[str, RemoteRows]]:
    """The groups with the rows of each process, which process 0 reads while it writes them."""
    return {
        rows_group(rank): {name: RemoteRows(tensors, [rank], name) for name in shapes}
        for rank, shapes in enumerate(tensors.shapes)
    }


def restore_split_rows(
    groups: dict[str, dict[str, Tensor]], folder: Path, processes: Processes
) -> None:
    """Add the rows of this process to the groups of a checkpoint.

    Args:
        groups: as read from the other files.
        folder: of the run; process 0 reads it.
        processes: all processes, as many as wrote the checkpoint.

    Raises:
        ArtifactError: a file is broken.
    """

    def shapes() -> list[dict[str, tuple[tuple[int, ...], torch.dtype]]]:
        found = []
        for rank in range(processes.size):
            with _reading_rows(folder, rank) as file:
                found.append({name: (file.shape(name), file.dtype(name)) for name in file})
        return found

    of_ranks = processes.on_first(shapes)
    own = {
        name: torch.empty(shape, dtype=dtype)
        for name, (shape, dtype) in of_ranks[processes.rank].items()
    }
    tensors = RemoteTensors(own, processes)

    def send() -> None:
        for rank in range(processes.size):
            with _reading_rows(folder, rank) as file:
                for name in file:
                    tensors.write(rank, name, partial(_finite_rows, file, name))

    tensors.on_first(send)
    for name, tensor in own.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = tensor


@contextmanager
def _reading_rows(folder: Path, rank: int) -> Iterator[TensorReader]:
    name = f"{rows_group(rank)}.safetensors"
    with reading(folder, name), TensorReader.open(folder / "checkpoint" / name) as file:
        yield file


def _finite_rows(file: TensorReader, name: str, begin: int, end: int) -> Tensor:
    rows = file.rows(name, begin, end)
    check_finite_tensors({name: rows})
    return rows
