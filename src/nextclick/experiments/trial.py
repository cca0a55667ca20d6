"""One trial of a model: learn from `fit`, be ranked on the validation, and see nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.training.training_config import checked_cutoff, parse_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.experiments.model_candidate import ModelCandidate
    from nextclick.models.base import Model
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.training_config import TrainingConfig


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """All that a choice may see of a store. The test is not in it.

    Attributes:
        fit: what a trial learns from.
        valid: what it is ranked on; clicks on items that `fit` lacks are unknown.
        protocol: how ranks are counted.
    """

    fit: Sessions
    valid: Sessions
    protocol: RankingProtocol

    @classmethod
    def of(cls, store: Store, sessions: int | None, seed: int) -> Parts:
        """Both parts, with `sessions` of the validation drawn by `seed`, or with all.

        Raises:
            ConfigError: fewer sessions than one.
            StoreError: a part is empty.
        """
        fit, valid = store.part("fit"), store.part("valid")
        if sessions is not None and sessions < 1:
            raise ConfigError(f"sessions must be 1 or more to validate on, got {sessions}")
        if sessions is not None and sessions < len(valid):
            rng = np.random.default_rng([seed, sessions])
            drawn = rng.choice(len(valid), sessions, replace=False)
            valid = valid.select(np.sort(drawn))
        return cls(fit, valid.as_known(fit.support()), store_protocol(store))


@dataclass(frozen=True, slots=True)
class ValidationObjective:
    """What a trial is measured by.

    Attributes:
        metric: such as recall@20.
        seed: of everything random in a trial, the same for all.
        device: auto, cpu or cuda.
    """

    metric: str
    seed: int
    device: str


def measure(
    contender: ModelCandidate,
    values: Mapping[str, Any],
    parts: Parts,
    judge: ValidationObjective,
    *,
    told: Callable[[float], None],
    progress: Progress,
) -> float:
    """The metric on the validation, of the epoch that a neural model keeps.

    Args:
        contender: the model.
        values: what is tried.
        parts: what it learns from and is ranked on.
        judge: metric, seed, device.
        told: called with the metric after every epoch of a neural model; may raise to end it.
        progress: told how far it has come; may raise, too.

    Raises:
        ConfigError: parameters that do not fit together, or too little memory.
        TrainingError: a loss, gradient or weight that is not finite.
        StoppedError: Ctrl-C in the training of a neural model.
    """
    config, training = contender.configs(values)
    if training is not None:
        return _learn(contender.model, config, training, parts, judge, told, progress)
    model = contender.model.fit(parts.fit, config, seed=judge.seed, progress=progress)
    _, k = parse_metric(judge.metric)
    found = evaluate(
        model, parts.valid, ks=[k], protocol=parts.protocol, n_bootstrap=0, progress=progress
    )
    return found.metrics[judge.metric].value


def _learn(
    model_class: type[Model],
    model_config: Any,
    config: TrainingConfig,
    parts: Parts,
    judge: ValidationObjective,
    told: Callable[[float], None],
    progress: Progress,
) -> float:
    # imported here: a model that counts needs no neural library
    from nextclick.experiments.neural_training import (
        check_memory,
        neural_class,
        validated,
        validation,
    )
    from nextclick.models.neural_model import DatasetInfo
    from nextclick.training.device import seeded
    from nextclick.training.trainer import Trainer

    model_type, n_items = neural_class(model_class), parts.fit.n_items
    facts = DatasetInfo.of(parts.fit, model_type.requires(model_config))
    check_memory(model_type, model_config, config, facts, n_items, device=judge.device, keeps=False)
    validate = validation(
        parts.fit, parts.valid, parts.protocol, checked_cutoff(config.metric, n_items)
    )

    def observed(model: NeuralModel) -> dict[str, float]:
        figures = validate(model)
        told(figures[config.metric])
        return figures

    with seeded(judge.seed):
        model = model_type(model_config, n_items, facts)
    trainer = Trainer(model, config, seed=judge.seed, device=judge.device)
    training = trainer.run(parts.fit, validate=observed, progress=progress)
    value = validated(training, config.metric)
    assert value is not None  # it was asked after every epoch
    return value
