"""Training parameters that all neural models share.

No model config has a parameter of the same name, so `--set NAME=VALUE` needs no prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from nextclick.core.allowed_names import AllowedNames
from nextclick.core.config import build_config, describe
from nextclick.core.metrics import metric_forms
from nextclick.errors import ConfigError, nearest
from nextclick.losses import LOSSES
from nextclick.training.config_checks import check_training

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M")

# threads changes no more than the rounding of sums
_NOT_RESULT_AFFECTING = ("threads", "checkpoint_minutes")
# what an explicit number of epochs replaces
_BUDGETS = ("min_steps", "max_steps", "validations")
# for batch_size 0: with fewer steps per epoch, training on a short log converges slowly
STEPS, SMALLEST_BATCH = 200, 32


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Training parameters."""

    loss: Annotated[
        str,
        AllowedNames(LOSSES),
        Field(description="ce: softmax over all items; the other losses compare with negatives"),
    ] = "ce"
    negatives: Annotated[
        int, Field(ge=0, description="number of sampled negatives; see negative_source")
    ] = 0
    full_softmax_items: Annotated[
        int,
        Field(
            ge=0,
            description="loss sampled: train with ce on a catalog of at most this many items",
        ),
    ] = 0
    negative_source: Annotated[
        Literal["log", "batch"],
        Field(
            description="log: sampled in proportion to clicks ** negative_alpha, shared by the "
            "prefixes of a step; batch: sampled for each prefix from the targets of its step, as "
            "ASARS's local negatives"
        ),
    ] = "log"
    reject: Annotated[
        Literal["nothing", "session", "history"],
        Field(
            description="negative_source batch: items excluded from the negatives besides the "
            "target: those of the session, or also those of the user's other training sessions"
        ),
    ] = "history"
    negative_alpha: Annotated[
        float, Field(ge=0, description="exponent of the clicks in the sampling of negatives")
    ] = 0.5
    in_batch: Annotated[
        bool, Field(description="use the targets of the other prefixes of a step as negatives")
    ] = False
    log_q: Annotated[
        bool,
        Field(description="loss sampled: subtract the log expected count of a negative (log Q)"),
    ] = True
    correct_target: Annotated[
        bool, Field(description="loss sampled: correct the target's score as well, as GRU4Rec does")
    ] = False
    regularization: Annotated[
        float, Field(ge=0, description="loss bpr-max: λ, weight of the squared scores")
    ] = 1.0
    score_activation: Annotated[
        Literal["none", "tanh", "elu"],
        Field(description="pairwise losses: activation of the scores"),
    ] = "none"
    elu_alpha: Annotated[
        float,
        Field(gt=0, description="score_activation elu: α, where −α is the lower bound of a score"),
    ] = 1.0
    optimizer: Annotated[
        Literal["adam", "adamw", "adagrad", "sgd"], Field(description="optimizer")
    ] = "adam"
    learning_rate: Annotated[
        float, Field(gt=0, description="learning rate before the schedule")
    ] = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of adagrad and sgd")] = 0.0
    weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty; with adamw, decoupled weight decay")
    ] = 0.0
    sparse: Annotated[
        bool,
        Field(
            description="sparse gradients: update only the rows of item tables that a step uses; "
            "needs negatives or in_batch; adam becomes lazy, adagrad and sgd give equal weights"
        ),
    ] = False
    clip: Annotated[
        float, Field(ge=0, description="maximum norm of the gradient; 0 is no limit")
    ] = 0.0
    schedule: Annotated[
        Literal["none", "step", "cosine", "linear"],
        Field(description="learning rate schedule; cosine and linear reach 0 at the planned end"),
    ] = "none"
    schedule_every: Annotated[
        int, Field(ge=1, description="schedule step: epochs between two steps")
    ] = 3
    schedule_factor: Annotated[
        float, Field(gt=0, le=1, description="schedule step: factor of the rate at a step")
    ] = 0.1
    warm_up: Annotated[int, Field(ge=0, description="steps of linear warm-up from 0")] = 0
    epochs: Annotated[
        int,
        Field(
            ge=1,
            description="maximum number of passes over the sessions; a value that is set replaces "
            "min_steps, max_steps and validations of a preset",
        ),
    ] = 30
    min_steps: Annotated[
        int,
        Field(
            ge=0, description="a short log is passed more often than `epochs`, for so many steps"
        ),
    ] = 0
    max_steps: Annotated[
        int, Field(ge=0, description="maximum number of steps, for a long log; 0 is no limit")
    ] = 0
    validations: Annotated[
        int,
        Field(ge=0, description="number of validations at equal distances; 0: after every epoch"),
    ] = 0
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description="best: weights of the validation with the best metric; last: those of the "
            "planned end"
        ),
    ] = "best"
    metric: Annotated[str, Field(description=f"validation metric: {metric_forms()}")] = "recall@20"
    patience: Annotated[
        int,
        Field(
            ge=1, description="early stopping after this many validations without a better metric"
        ),
    ] = 3
    order: Annotated[
        Literal["sessions", "lanes"],
        Field(description="padded sessions with all prefixes, or GRU4Rec's session-parallel lanes"),
    ] = "sessions"
    batch_size: Annotated[
        int,
        Field(
            ge=0,
            description="approximate prefixes per step; for lanes, number of lanes; 0: as many as "
            f"give {STEPS} steps per epoch, {SMALLEST_BATCH} to `largest_batch`",
        ),
    ] = 512
    largest_batch: Annotated[
        int, Field(ge=1, description="batch_size 0: approximate maximum of prefixes per step")
    ] = 1024
    shuffle: Annotated[
        bool,
        Field(description="shuffle the sessions in each epoch; false keeps chronological order"),
    ] = True
    length_window: Annotated[
        int,
        Field(
            ge=1,
            description="shuffle=false: sessions are grouped by length within so many consecutive "
            "steps, which is faster; 1 keeps chronological order exactly",
        ),
    ] = 1
    choose_order: Annotated[
        bool,
        Field(
            description="train before the validation in both orders, shuffled and chronological, "
            "and keep the better one, if the times of the log span two days"
        ),
    ] = False
    recent: Annotated[
        float,
        Field(gt=0, le=1, description="share of the sessions to train on, the most recent ones"),
    ] = 1.0
    pretrain_epochs: Annotated[
        int,
        Field(
            ge=0,
            description="number of initial epochs that use all sessions instead of `recent`; "
            "disables min_steps and max_steps",
        ),
    ] = 0
    precision: Annotated[
        Literal["auto", "float32", "bf16-products", "bf16"],
        Field(
            description="float32; bf16-products: inputs of matrix products are rounded to bf16; "
            "bf16: activations too; auto: bf16-products on a CPU that multiplies bf16 in hardware "
            "(AMX), else float32"
        ),
    ] = "float32"
    checkpoint_minutes: Annotated[
        float,
        Field(ge=0, description="minutes between checkpoints within an epoch; 0: after every step"),
    ] = 10.0
    threads: Annotated[
        int, Field(ge=0, description="number of threads; 0: as many as a step keeps busy")
    ] = 0

    @property
    def max_batch_prefixes(self) -> int:
        """Approximate maximum of prefixes per step."""
        return self.batch_size or self.largest_batch

    def for_catalog(self, n_items: int) -> TrainingConfig:
        """The config with the full softmax instead of the sampled one, if the catalog is small."""
        if self.loss != "sampled" or n_items > self.full_softmax_items:
            return self
        return replace(
            self, loss="ce", negatives=0, in_batch=False, sparse=False, full_softmax_items=0
        )

    def batch_for(self, n_prefixes: int) -> int:
        """Approximate prefixes per step of an epoch with `n_prefixes` prefixes."""
        return self.batch_size or min(max(n_prefixes // STEPS, SMALLEST_BATCH), self.largest_batch)


def result_affecting(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The training parameters that affect the trained weights."""
    return {name: value for name, value in parameters.items() if name not in _NOT_RESULT_AFFECTING}


@dataclass(frozen=True, slots=True)
class NeuralOptions:
    """Options of neural training that do not affect the trained weights, and the preset."""

    preset: Annotated[
        str | None, Field(description="named set of parameters; see `nextclick models`")
    ] = None
    device: Annotated[str, Field(description="compute device: auto, cpu or cuda")] = "auto"
    checkpoints: Annotated[
        Path | None, Field(description="folder for the checkpoint and metrics.jsonl")
    ] = None
    resume: Annotated[bool, Field(description="resume an interrupted run from its checkpoint")] = (
        False
    )
    shard_items: Annotated[
        bool,
        Field(
            description="with torchrun: split the rows of the item tables over the processes, for "
            "a catalog that is too large for one"
        ),
    ] = False
    track: Annotated[
        tuple[str, ...],
        Field(
            description="experiment trackers: mlflow, wandb, and tensorboard for the steps of a "
            "neural training"
        ),
    ] = ()


def build_configs(
    model: str,
    model_config: type[M],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str | None,
    values: Mapping[str, Any],
) -> tuple[M, TrainingConfig]:
    """Build the configs of a model and of its training.

    `values` override the preset, and the preset overrides the defaults.

    Args:
        model: name of the model, for messages.
        model_config: frozen dataclass of the model's parameters.
        presets: preset name to values of model and training parameters.
        preset: name of a preset; None is "default" if the model has it.
        values: parameter to value; text is accepted for any type.

    Raises:
        ConfigError: the preset or a parameter does not exist, or a value is out of range.
    """
    if preset is not None and preset not in presets:
        known = nearest(preset, presets) if presets else "it has none"
        raise ConfigError(f"{model} has no preset {preset!r}: {known}")
    merged = {**presets.get(preset or "default", {}), **values}
    if "epochs" in values:  # exactly so many
        merged |= {name: values.get(name, 0) for name in _BUDGETS}
    model_names = {parameter.name for parameter in describe(model_config)}
    training_names = {parameter.name for parameter in describe(TrainingConfig)}
    for name in merged:
        if name not in model_names | training_names:
            hint = nearest(name, model_names | training_names)
            raise ConfigError(f"{model} has no parameter {name!r}: {hint}")
    model_values = {name: value for name, value in merged.items() if name in model_names}
    training_values = {name: value for name, value in merged.items() if name not in model_names}
    training = build_config(TrainingConfig, training_values, model)
    check_training(training)
    return build_config(model_config, model_values, model), training
