"""Checks that training parameters are compatible with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.training.training_config import TrainingConfig


def check_training(config: TrainingConfig) -> None:
    """Check that the training parameters are compatible.

    Raises:
        ConfigError: they are not; the message names the parameters and what to change.
    """
    parse_metric(config.metric)
    sampled = config.negatives > 0 or config.in_batch
    if (config.loss != "ce") != sampled:
        raise ConfigError(
            f"loss {config.loss} needs negatives > 0 or in_batch=true; set one of them"
            if config.loss != "ce"
            else "negatives must be 0 and in_batch false for loss ce, which scores all items; set "
            "loss=sampled for a softmax over sampled items"
        )
    if config.score_activation != "none" and config.loss in ("ce", "sampled"):
        raise ConfigError(
            f"score_activation must be none for loss {config.loss}, got "
            f"{config.score_activation}; it applies to pairwise losses only"
        )
    if config.negative_source == "batch":
        _check_local_negatives(config)
    _check_length(config)
    if config.sparse:
        _check_sparse(config, sampled=sampled)
    if config.order == "lanes" and config.batch_size == 0:
        raise ConfigError(
            "batch_size must be above 0 for order lanes, got 0; set the number of lanes"
        )
    if config.momentum and config.optimizer not in ("adagrad", "sgd"):
        raise ConfigError(
            f"momentum must be 0 for {config.optimizer}, got {config.momentum}; "
            "it is a parameter of adagrad and sgd"
        )


def check_sharded(model: str, features: Sequence[str], config: TrainingConfig) -> None:
    """Check that a training can split the item tables over processes.

    Args:
        model: its name, for messages.
        features: the columns of the item table that the model reads.
        config: the training parameters for the catalog.

    Raises:
        ConfigError: it cannot; the message says what to change.
    """
    if features:
        raise ConfigError(
            f"features must be empty for {model} with --shard-items, got "
            f"{','.join(features)}; omit one"
        )
    if config.loss == "ce" or not config.sparse:
        raise ConfigError(
            f"--shard-items needs a loss with negatives and sparse=true, got loss={config.loss} "
            f"and sparse={str(config.sparse).lower()}; add --set sparse=true, and for loss ce "
            "--set loss=sampled --set negatives=2048 --set full_softmax_items=0"
        )
    if config.order != "sessions":
        raise ConfigError(
            f"order must be sessions with --shard-items, got {config.order}; set order=sessions"
        )


def _check_length(config: TrainingConfig) -> None:
    if config.pretrain_epochs >= config.epochs:
        raise ConfigError(
            f"pretrain_epochs must be below epochs, got {config.pretrain_epochs} of "
            f"{config.epochs}; raise epochs, which includes the pretraining"
        )


def _check_sparse(config: TrainingConfig, *, sampled: bool) -> None:
    if not sampled:
        raise ConfigError(
            "sparse must be false for loss ce, whose gradient is dense; set another loss, such as "
            "sampled"
        )
    if config.weight_decay:
        raise ConfigError(
            f"weight_decay must be 0 with sparse=true, got {config.weight_decay}: "
            "it updates every row; set it to 0, or sparse=false"
        )
    if config.optimizer == "sgd" and config.momentum:
        raise ConfigError(
            f"momentum must be 0 for sgd with sparse=true, got {config.momentum}: "
            "it updates every row; set it to 0, or sparse=false"
        )


def _check_local_negatives(config: TrainingConfig) -> None:
    if config.negatives == 0 or config.loss == "sampled" or config.order == "lanes":
        values = {"negatives": config.negatives, "loss": config.loss, "order": config.order}
        raise ConfigError(
            "negative_source batch needs negatives > 0, order=sessions and a pairwise loss, such "
            "as hinge; got " + ", ".join(f"{name}={value}" for name, value in values.items())
        )
