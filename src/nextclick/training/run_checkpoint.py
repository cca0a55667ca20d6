"""Save the state of a training loop in a checkpoint, and restore it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from nextclick.training import checkpoint
from nextclick.training.checkpoint import RunIdentity
from nextclick.training.checkpoint_checks import check_same_tensors
from nextclick.training.training_config import result_affecting

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.training.checkpoint import Checkpoints
    from nextclick.training.loop import TrainingLoop


def save_run(loop: TrainingLoop, checkpoints: Checkpoints) -> None:
    """Write a checkpoint.

    Raises:
        OutputError: the checkpoint cannot be written.
    """
    groups = {
        "weights": loop.encoder.state_dict(),
        "best": loop.best_weights,
        "optimizer": loop.optimizers.state(),
        "batch_source": loop.batch_source.state(),
        "random": _random_states(loop),
    }
    checkpoint.save(checkpoints.folder, _identity(loop, checkpoints), loop.position, groups)


def restore_run(loop: TrainingLoop, checkpoints: Checkpoints) -> None:
    """Restore the state of the checkpoint.

    Raises:
        ArtifactError: the checkpoint is missing, is broken or belongs to another run.
    """
    folder, weights = checkpoints.folder, loop.encoder.state_dict()
    loop.position, groups = checkpoint.load(folder, _identity(loop, checkpoints), loop.plan)
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
        check_same_tensors(groups["random"], _random_states(loop))
        torch.set_rng_state(groups["random"]["cpu"])
        if loop.settings.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"]["cuda"])


def _random_states(loop: TrainingLoop) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if loop.settings.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _identity(loop: TrainingLoop, checkpoints: Checkpoints) -> RunIdentity:
    model = {"name": loop.model.name, "items": loop.model.n_items}
    return RunIdentity(
        model={**model, **asdict(loop.model.config)},
        training={
            **result_affecting(asdict(loop.config)),
            "planned_epochs": loop.plan.passes,
            "epochs_of_run": loop.plan.ends[-1],
            "seed": loop.settings.seed,
        },
        data=checkpoints.data,
    )
