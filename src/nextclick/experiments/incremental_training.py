"""Update strategies of trained models, and the updates that train on the new sessions."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.config import build_config
from nextclick.errors import ConfigError
from nextclick.models.incremental_state import FineTuneSettings, PriorSessions
from nextclick.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.experiments.refresh_options import FineTuneOptions
    from nextclick.models.base import Model, Update


def refresh_strategy(model: Model) -> Update:
    """How a model is updated with newer sessions.

    Raises:
        ConfigError: it has no incremental update.
    """
    update = model.capabilities.update
    if update == "none":
        raise ConfigError(
            f"{model.name} declares no incremental update (capabilities.update is none): train it "
            "again on a store of both logs"
        )
    return update


def trains_on_update(model: Model, options: FineTuneOptions) -> bool:
    """Whether an update takes training steps on the new sessions."""
    return model.capabilities.trains_on_update and options.epochs > 0


def updated_by_training(
    model: Model,
    new: Sessions,
    prior: PriorSessions,
    trained: Mapping[str, Any],
    options: FineTuneOptions,
    progress: Progress,
) -> tuple[Model, dict[str, Any]]:
    """Update a model by block or by fine-tuning; return it and the record of its training.

    A model with updates by block processes every block of time up to the last one of `new`,
    including empty blocks. Its last block stays open; see `end_block`. Sessions of a block that is
    over count with the next block.
    """
    model = model.grow_catalog(prior, new)
    by_block = model.capabilities.update == "by-block"
    if by_block:
        assert new.blocks is not None
        new = replace(new, blocks=np.maximum(new.blocks, np.int32(model.last_block + 1)))
    if trains_on_update(model, options):
        return _fine_tune(model, new, prior, trained, options, progress)
    if by_block:
        _advance(model, new, progress)
    return model, {}


def end_block(model: Model, sessions: Sessions, last_over: int) -> None:
    """End the open block of a model whose update ends with these sessions, if it is over.

    Args:
        model: a model with updates by block, or another, which does not change.
        sessions: the sessions of the update.
        last_over: the last block of time that is over.
    """
    if model.capabilities.update == "by-block" and model.last_block < last_over:
        model.advance(replace(sessions.slice(0, 0), blocks=None))


def _advance(model: Model, new: Sessions, progress: Progress) -> None:
    """Process the blocks of new sessions in order; all are after the last block of the model."""
    assert new.blocks is not None
    last, end = model.last_block, int(new.blocks[-1])
    for block, sessions in new.by_block(last + 1, end + 1):
        if block < end:
            model.advance(sessions)
        else:
            model.keep_open(sessions)
        progress("advance", block - last, end - last)


def _fine_tune(
    model: Model,
    new: Sessions,
    prior: PriorSessions,
    trained: Mapping[str, Any],
    options: FineTuneOptions,
    progress: Progress,
) -> tuple[Model, dict[str, Any]]:
    """Train a model further, with a new optimizer state; return it and the training record."""
    start = time.perf_counter()
    sessions = _with_replay(new, prior, options)
    n_replayed = len(sessions) - len(new)
    steps = FineTuneSettings(
        options.epochs,
        options.rate,
        math.inf if options.minutes is None else options.minutes,
        options.seed,
    )
    record: dict[str, Any] = {
        "rate": options.rate,
        "replayed_sessions": n_replayed,
        "reproducible": options.minutes is None,
    }
    if not model.capabilities.neural:
        model = model.fine_tune(sessions, steps, progress=progress)
    else:
        model.continue_training(prior.sessions if n_replayed else None)
        record |= _train_neural(model, sessions, trained, steps, options.device, progress)
    return model, record | {"fine_tune_seconds": time.perf_counter() - start}


def _train_neural(
    model: Model,
    sessions: Sessions,
    trained: Mapping[str, Any],
    steps: FineTuneSettings,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train a neural model in place at a constant learning rate, and keep the last epoch."""
    # imported here: a counting model needs no neural library
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.trainer import Trainer

    assert isinstance(model, NeuralModel)
    config = build_config(TrainingConfig, trained["training"], model.name)
    config = replace(
        config,
        learning_rate=config.learning_rate * steps.rate,
        schedule="none",
        warm_up=0,
        keep="last",
        epochs=steps.epochs,
        min_steps=0,
        max_steps=0,
        validations=0,
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


def _with_replay(new: Sessions, prior: PriorSessions, options: FineTuneOptions) -> Sessions:
    """A random sample of the older sessions, followed by the new ones."""
    n = round(options.replay * len(new))
    if n == 0 or prior.sessions is None:
        return new
    rng = np.random.default_rng([options.seed, len(new)])
    sample = np.sort(rng.permutation(len(prior.sessions))[:n])
    return prior.sessions.take(sample).concatenate(new)
