"""The three ways in which a trained model goes on with new sessions."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.config import build_config
from nextclick.errors import ConfigError, SourceError
from nextclick.models.incremental_state import FineTuneSteps, PriorSessions
from nextclick.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.experiments.refresh_options import TuningOptions
    from nextclick.models.base import Model, Update


def refresh_strategy(model: Model) -> Update:
    """How a model takes in newer sessions.

    Raises:
        ConfigError: it cannot.
    """
    update = model.capabilities.update
    if update == "none":
        raise ConfigError(
            f"{model.name} declares no incremental update (capabilities.update is none): train it "
            "again on a store of both logs"
        )
    return update


def is_trained(model: Model, options: TuningOptions) -> bool:
    """Whether its update takes training steps on the new sessions."""
    return model.capabilities.trains_on_update and options.epochs > 0


def check_blocks(model: Model, new: Sessions) -> None:
    """Refuse a log for a model that advances, if it has no block to advance by.

    Raises:
        SourceError: `new` has no block that the model has not taken in already.
    """
    assert new.blocks is not None
    end = int(new.blocks[-1])  # sessions stand in the order in which they ended
    if end <= model.last_block:
        raise SourceError(
            f"the new log ends in block of time {end}, which the model has taken in already (its "
            f"last is {model.last_block}): it goes on block by block; give the log of whole blocks"
        )


def continued_training(
    model: Model,
    new: Sessions,
    past: PriorSessions,
    trained: Mapping[str, Any],
    options: TuningOptions,
    minutes: float | None,
    progress: Progress,
) -> tuple[Model, dict[str, Any]]:
    """The model after an update by block or by fine-tuning, and how its training went.

    A model that advances goes through every block of time up to the last one of `new`, empty ones
    too. Sessions of a block that it has closed already count with the block after it.
    """
    model = model.grow_catalog(past, new)
    advances = model.capabilities.update == "by-block"
    if advances:
        assert new.blocks is not None
        new = replace(new, blocks=np.maximum(new.blocks, np.int32(model.last_block + 1)))
    if is_trained(model, options):
        return _tuned(model, new, past, trained, options, minutes, progress)
    if advances:
        _advance(model, new, progress)
    return model, {}


def _advance(model: Model, new: Sessions, progress: Progress) -> None:
    """Take in the blocks of new sessions one by one; all are after the model's last one."""
    assert new.blocks is not None
    last, end = model.last_block, int(new.blocks[-1])
    for block, sessions in new.by_block(last + 1, end + 1):
        model.advance(sessions)
        progress("advance", block - last, end - last)


def _tuned(
    model: Model,
    new: Sessions,
    past: PriorSessions,
    trained: Mapping[str, Any],
    options: TuningOptions,
    minutes: float | None,
    progress: Progress,
) -> tuple[Model, dict[str, Any]]:
    """The model after some more steps from its weights, and how they went.

    The optimizer begins anew. Older sessions that are replayed are mixed with the new ones.
    """
    began = time.perf_counter()
    sessions = _replayed(new, past, options)
    n_replayed = len(sessions) - len(new)
    steps = FineTuneSteps(
        options.epochs, options.rate, math.inf if minutes is None else minutes, options.seed
    )
    figures: dict[str, Any] = {
        "rate": options.rate,
        "replayed_sessions": n_replayed,
        "repeatable": minutes is None,
    }
    if not model.capabilities.neural:
        model = model.tuned(sessions, steps, progress=progress)
    else:
        model.continue_training(past.sessions if n_replayed else None)
        figures |= _trained_on(model, sessions, trained, steps, options.device, progress)
    return model, figures | {"tuning_seconds": time.perf_counter() - began}


def _trained_on(
    model: Model,
    sessions: Sessions,
    trained: Mapping[str, Any],
    steps: FineTuneSteps,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train a neural model in place, at a constant rate; nothing is chosen."""
    # imported here: a model that counts needs no neural library
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.trainer import Trainer

    assert isinstance(model, NeuralModel)
    config = build_config(TrainingConfig, trained["training"], model.name)
    config = replace(
        config,
        learning_rate=config.learning_rate * steps.rate,
        schedule="none",
        warm_up=0.0,
        keep="last",
        epochs=steps.epochs,
        pretrain_epochs=0,
        recent=1.0,
    )
    minutes = None if math.isinf(steps.minutes) else steps.minutes
    trainer = Trainer(model, config, seed=steps.seed, device=device, minutes=minutes)
    training = trainer.run(sessions, progress=progress)
    return {
        "epochs": training.epochs,
        "history": list(training.history),
        "device": training.device,
        "threads": training.threads,
    }


def _replayed(new: Sessions, past: PriorSessions, options: TuningOptions) -> Sessions:
    """Older sessions, drawn at random, in front of the new ones."""
    n = round(options.replay * len(new))
    if n == 0 or past.sessions is None:
        return new
    old = past.sessions
    rng = np.random.default_rng([options.seed, len(new)])
    chosen = np.sort(rng.permutation(len(old))[:n])
    return old.take(chosen).followed_by(new)
