"""How a neural model is trained: the parameters that all of them share.

Their names differ from those of every model's own config, so that `--set NAME=VALUE` needs no
prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from nextclick.core.allowed_names import AllowedNames
from nextclick.core.config import build_config, describe
from nextclick.core.metrics import metric_forms, parse_metric
from nextclick.errors import ConfigError, nearest
from nextclick.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M")

_CHANGE_NOTHING = ("threads", "checkpoint_minutes")  # but the last bits of sums
# with batch_size 0: with fewer steps an epoch teaches little of a short log
STEPS, SMALLEST_BATCH = 200, 128


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Parameters of training."""

    loss: Annotated[
        str,
        AllowedNames(LOSSES),
        Field(description="ce is the softmax over all items; the others compare with negatives"),
    ] = "ce"
    negatives: Annotated[
        int, Field(ge=0, description="items drawn to compare with; how, says negative_source")
    ] = 0
    negative_source: Annotated[
        Literal["log", "batch"],
        Field(
            description="log: drawn by clicks ** negative_alpha, shared by the prefixes of a step; "
            "batch: for each prefix out of the targets of its step, ASARS's local negatives"
        ),
    ] = "log"
    reject: Annotated[
        Literal["nothing", "session", "history"],
        Field(
            description="negative_source batch: what is no negative besides the target: what "
            "stands in the session, or also what the visitor clicked in other training sessions"
        ),
    ] = "history"
    negative_alpha: Annotated[
        float, Field(ge=0, description="negatives are drawn in proportion to clicks ** this")
    ] = 0.5
    in_batch: Annotated[
        bool, Field(description="the targets of the other prefixes of a step are negatives, too")
    ] = False
    log_q: Annotated[
        bool,
        Field(description="loss sampled: take the log of how often a negative comes off its score"),
    ] = True
    correct_target: Annotated[
        bool, Field(description="loss sampled: do the same to the target's score, as GRU4Rec")
    ] = False
    regularization: Annotated[
        float, Field(ge=0, description="loss bpr-max: λ, the weight of the squared scores")
    ] = 1.0
    score_activation: Annotated[
        Literal["none", "tanh", "elu"],
        Field(description="losses that compare pairs of scores: what the scores go through before"),
    ] = "none"
    elu_alpha: Annotated[
        float, Field(gt=0, description="score_activation elu: α, how far below 0 a score can get")
    ] = 1.0
    optimizer: Annotated[
        Literal["adam", "adamw", "adagrad", "sgd"], Field(description="how weights follow")
    ] = "adam"
    learning_rate: Annotated[float, Field(gt=0, description="of the first epoch")] = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1, description="of adagrad and sgd")] = 0.0
    weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty; with adamw, decay apart from the gradient")
    ] = 0.0
    sparse: Annotated[
        bool,
        Field(
            description="change the rows of item tables that a step touches and no others; "
            "needs negatives or in_batch; adam becomes lazy, adagrad and sgd stay the same"
        ),
    ] = False
    clip: Annotated[
        float, Field(ge=0, description="largest norm of the gradient; 0 for no limit")
    ] = 0.0
    schedule: Annotated[
        Literal["none", "step", "cosine", "linear"],
        Field(description="how the learning rate falls; cosine and linear reach 0 after `epochs`"),
    ] = "none"
    schedule_every: Annotated[int, Field(ge=1, description="epochs between two steps")] = 3
    schedule_factor: Annotated[
        float, Field(gt=0, le=1, description="what the rate is multiplied by at a step")
    ] = 0.1
    warm_up: Annotated[
        float, Field(ge=0, description="epochs over which the rate rises from 0")
    ] = 0.0
    epochs: Annotated[int, Field(ge=1, description="passes over the sessions, at most")] = 30
    keep: Annotated[
        Literal["best", "last"],
        Field(description="best: the epoch that validates best; last: exactly `epochs` of them"),
    ] = "best"
    metric: Annotated[str, Field(description=f"validation metric: {metric_forms()}")] = "recall@20"
    patience: Annotated[
        int, Field(ge=1, description="epochs without a better validation before training ends")
    ] = 3
    order: Annotated[
        Literal["sessions", "lanes"],
        Field(description="every prefix of padded sessions, or GRU4Rec's session-parallel lanes"),
    ] = "sessions"
    batch_size: Annotated[
        int,
        Field(
            ge=0,
            description="prefixes in a step, about; with lanes, the lanes; 0: so many that an "
            f"epoch has {STEPS} steps, {SMALLEST_BATCH} to `largest_batch`",
        ),
    ] = 512
    largest_batch: Annotated[
        int, Field(ge=1, description="batch_size 0: prefixes in a step, about, at most")
    ] = 1024
    shuffle: Annotated[
        bool, Field(description="draw a new order for each epoch; false keeps the order of time")
    ] = True
    recent: Annotated[
        float,
        Field(gt=0, le=1, description="learn from that part of the sessions, the latest"),
    ] = 1.0
    pretrain_epochs: Annotated[
        int, Field(ge=0, description="how many of the epochs learn from all sessions before that")
    ] = 0
    precision: Annotated[
        Literal["float32", "bf16"],
        Field(description="of matrix products; weights stay float32"),
    ] = "float32"
    checkpoint_minutes: Annotated[
        float, Field(ge=0, description="between checkpoints within an epoch; 0 is every step")
    ] = 10.0
    threads: Annotated[
        int, Field(ge=0, description="threads for arithmetic; 0 is as many as a step keeps busy")
    ] = 0

    @property
    def most_prefixes(self) -> int:
        """Prefixes in a step, about, at most."""
        return self.batch_size or self.largest_batch

    def batch_for(self, n_prefixes: int) -> int:
        """Prefixes in a step, about, of an epoch that has that many."""
        return self.batch_size or min(max(n_prefixes // STEPS, SMALLEST_BATCH), self.largest_batch)


def result_affecting(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the parameters of a training that change what is learned."""
    return {name: value for name, value in parameters.items() if name not in _CHANGE_NOTHING}


@dataclass(frozen=True, slots=True)
class NeuralOptions:
    """How the training of a neural model runs, besides its parameters."""

    preset: Annotated[
        str | None, Field(description="named set of parameters; see `nextclick models`")
    ] = None
    device: Annotated[str, Field(description="compute device: auto, cpu or cuda")] = "auto"
    checkpoints: Annotated[
        Path | None, Field(description="folder for the checkpoint and metrics.jsonl")
    ] = None
    resume: Annotated[bool, Field(description="resume from the checkpoint of a stopped run")] = (
        False
    )
    track: Annotated[
        tuple[str, ...],
        Field(description="experiment trackers: tensorboard, mlflow or both, if installed"),
    ] = ()


def check_training(config: TrainingConfig) -> None:
    """Refuse what does not fit together.

    Raises:
        ConfigError: with the parameters and what to change.
    """
    parse_metric(config.metric)
    sampled = config.negatives > 0 or config.in_batch
    if (config.loss != "ce") != sampled:
        raise ConfigError(
            f"loss {config.loss} needs negatives > 0 or in_batch=true; set one of them"
            if config.loss != "ce"
            else "negatives must be 0 and in_batch false for loss ce, which takes all items; set "
            "loss=sampled for a softmax over drawn items"
        )
    if config.score_activation != "none" and config.loss in ("ce", "sampled"):
        raise ConfigError(
            f"score_activation must be none for loss {config.loss}, got "
            f"{config.score_activation}; it is for losses that compare pairs of scores"
        )
    if config.negative_source == "batch":
        _check_local(config)
    if config.order == "lanes" and config.batch_size == 0:
        raise ConfigError("batch_size must be above 0 for order lanes, got 0; say how many lanes")
    if config.pretrain_epochs >= config.epochs:
        raise ConfigError(
            f"pretrain_epochs must be below epochs, got {config.pretrain_epochs} of "
            f"{config.epochs}; raise epochs, which counts both"
        )
    if config.sparse and not sampled:
        raise ConfigError(
            "sparse must be false for loss ce, which touches every item; set another loss, such "
            "as sampled"
        )
    if config.sparse and config.weight_decay:
        raise ConfigError(
            f"weight_decay must be 0 with sparse=true, got {config.weight_decay}: "
            "it changes every row; set it to 0, or sparse=false"
        )
    if config.sparse and config.optimizer == "sgd" and config.momentum:
        raise ConfigError(
            f"momentum must be 0 for sgd with sparse=true, got {config.momentum}: "
            "it changes every row; set it to 0, or sparse=false"
        )
    if config.momentum and config.optimizer not in ("adagrad", "sgd"):
        raise ConfigError(
            f"momentum must be 0 for {config.optimizer}, got {config.momentum}; "
            "it is a parameter of adagrad and sgd"
        )


def _check_local(config: TrainingConfig) -> None:
    if config.negatives == 0 or config.loss == "sampled" or config.order == "lanes":
        found = {"negatives": config.negatives, "loss": config.loss, "order": config.order}
        raise ConfigError(
            "negative_source batch needs negatives > 0, order=sessions and a loss that compares "
            "pairs of scores, such as hinge; got "
            + ", ".join(f"{name}={value}" for name, value in found.items())
        )


def build_configs(
    model: str,
    model_config: type[M],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str | None,
    values: Mapping[str, Any],
) -> tuple[M, TrainingConfig]:
    """The configs of a model and of its training: defaults, under the preset, under `values`.

    Args:
        model: its name, for messages.
        model_config: the frozen dataclass of its own parameters.
        presets: preset name to the values of model and training parameters.
        preset: which one; None is "default" where there is one.
        values: parameter to value; text is accepted for any type.

    Raises:
        ConfigError: no such preset or parameter, or a value out of its range.
    """
    if preset is not None and preset not in presets:
        known = nearest(preset, presets) if presets else "it has none"
        raise ConfigError(f"{model} has no preset {preset!r}: {known}")
    chosen = {**presets.get(preset or "default", {}), **values}
    of_model = {parameter.name for parameter in describe(model_config)}
    of_training = {parameter.name for parameter in describe(TrainingConfig)}
    for name in chosen:
        if name not in of_model | of_training:
            hint = nearest(name, of_model | of_training)
            raise ConfigError(f"{model} has no parameter {name!r}: {hint}")
    own = {name: value for name, value in chosen.items() if name in of_model}
    rest = {name: value for name, value in chosen.items() if name not in of_model}
    training = build_config(TrainingConfig, rest, model)
    check_training(training)
    return build_config(model_config, own, model), training
