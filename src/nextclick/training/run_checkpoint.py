"""Save the state of a training loop in a checkpoint, and restore it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from nextclick.models.sharding.remote_tensors import RemoteTensors
from nextclick.training import checkpoint
from nextclick.training.checkpoint import RunIdentity
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.split_rows import restore_split_rows, rows_groups, take_split_rows
from nextclick.training.training_config import result_affecting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from nextclick.training.checkpoint import Checkpoints
    from nextclick.training.loop import TrainingLoop


def save_run(loop: TrainingLoop, checkpoints: Checkpoints) -> None:
    """Write a checkpoint; process 0 writes it for all.

    Raises:
        OutputError: the checkpoint cannot be written.
    """
    groups: dict[str, dict[str, Any]] = {
        "weights": dict(loop.encoder.state_dict()),
        "best": dict(loop.best_weights),
        "optimizer": loop.optimizers.state(),
        "batch_source": loop.batch_source.state(),
        "random": _random_states(loop),
    }
    identity, folder = _identity(loop, checkpoints), checkpoints.folder
    if loop.encoder.shards is None:
        loop.processes.on_first(lambda: checkpoint.save(folder, identity, loop.position, groups))
    else:
        rows = take_split_rows(groups, loop.encoder.shards, loop.optimizers)
        tensors = RemoteTensors(rows, loop.processes)
        groups |= rows_groups(tensors)
        tensors.on_first(lambda: checkpoint.save(folder, identity, loop.position, groups))


def restore_run(loop: TrainingLoop, checkpoints: Checkpoints) -> None:
    """Restore the state of the checkpoint; process 0 reads it and sends it to all.

    Raises:
        ArtifactError: the checkpoint is missing, is broken or belongs to another run.
    """
    identity = _identity(loop, checkpoints)
    loop.position, groups = loop.processes.on_first(
        lambda: checkpoint.load(checkpoints.folder, identity, loop.plan)
    )
    if loop.encoder.shards is not None:
        restore_split_rows(groups, checkpoints.folder, loop.processes)
    random = _random_states(loop)
    loop.processes.agree(lambda: _restore_groups(loop, checkpoints.folder, groups, random))


def _restore_groups(
    loop: TrainingLoop,
    folder: Path,
    groups: Mapping[str, dict[str, Tensor]],
    random: dict[str, Tensor],
) -> None:
    weights = loop.encoder.state_dict()
    with checkpoint.reading(folder, "best.safetensors"):
        loop.best_weights = groups["best"]
        has_best = loop.keeps_best and loop.position.best_interval is not None
        check_same_tensors(loop.best_weights, weights if has_best else {})
    with checkpoint.reading(folder, "weights.safetensors"):
        check_same_tensors(groups["weights"], weights)
        loop.encoder.load_state_dict(groups["weights"])
    with checkpoint.reading(folder, "optimizer.safetensors"):
        loop.optimizers.load_state(groups["optimizer"])
    with checkpoint.reading(folder, "batch_source.safetensors"):
        loop.batch_source.load_state(groups["batch_source"])
    with checkpoint.reading(folder, "random.safetensors"):
        check_same_tensors(groups["random"], random)
        suffix = _suffix(loop.processes.rank)
        torch.set_rng_state(groups["random"]["cpu" + suffix])
        if loop.settings.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"]["cuda" + suffix])


def _random_states(loop: TrainingLoop) -> dict[str, Tensor]:
    """The states of the generators of all processes, by device and rank."""
    states = {"cpu": torch.get_rng_state()}
    if loop.settings.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return {
        name + _suffix(rank): state
        for rank, own in enumerate(loop.processes.gather(states))
        for name, state in own.items()
    }


def _suffix(rank: int) -> str:
    return f".{rank}" if rank else ""


def _identity(loop: TrainingLoop, checkpoints: Checkpoints) -> RunIdentity:
    model = {"name": loop.model.name, "items": loop.model.n_items}
    return RunIdentity(
        model={**model, **asdict(loop.model.config)},
        training={
            **result_affecting(asdict(loop.config)),
            "planned_epochs": loop.plan.passes,
            "epochs_of_run": loop.plan.ends[-1],
            "seed": loop.settings.seed,
            "processes": loop.processes.size,
            "shard_items": loop.encoder.shards is not None,
        },
        data=checkpoints.data,
    )
