"""The objective of a hyperparameter search: train on `train_inner`, rank `valid`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.models.features.item_features import known_items

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.experiments.model_candidate import ModelCandidate
    from nextclick.experiments.search_options import TuneOptions
    from nextclick.experiments.search_plan import SearchPlan
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.training_config import TrainingConfig

_ACCURACY = ("recall", "mrr", "ndcg")


@dataclass(frozen=True, slots=True, eq=False)
class ValidationObjective:
    """A metric on the validation part as a function of hyperparameters.

    Attributes:
        candidate: the model and its fixed parameters.
        fit: sessions that trials are trained on.
        valid: sessions that are ranked; items that `train_inner` lacks are unknown.
        protocol: how ranks are counted.
        items: raw ids, for rules that name ids.
        options: metric, seed and device of every trial.
        item_table: features of the items, also for rules that name columns; or None.
        candidates: (N + 1,) bool, the items that are ranked; None for all.
    """

    candidate: ModelCandidate
    fit: Sessions
    valid: Sessions
    protocol: RankingProtocol
    items: Vocabulary
    options: TuneOptions
    item_table: ItemTable | None = None
    candidates: BoolArray | None = None

    @classmethod
    def create(cls, plan: SearchPlan, store: Store) -> ValidationObjective:
        """Read the parts, with a random sample of the validation if the options name a size.

        Raises:
            ConfigError: the sample is empty.
            StoreError: a part is empty.
        """
        n_sessions = plan.options.sessions
        fit, valid = store.part("train_inner"), store.part("valid")
        if n_sessions is not None and n_sessions < 1:
            raise ConfigError(f"sessions must be 1 or more, got {n_sessions}")
        if n_sessions is not None and n_sessions < len(valid):
            rng = np.random.default_rng([plan.options.seed, n_sessions])
            valid = valid.take(np.sort(rng.choice(len(valid), n_sessions, replace=False)))
        config, _ = plan.candidate.configs({})
        known = known_items(config, fit.support(), store.item_table)
        valid = valid.mask_unseen_items(known)
        options = plan.options
        protocol = replace(
            store_protocol(store), min_prefix=options.min_prefix, rules=options.rules
        )
        # rules that leave no item fail before any trial
        protocol.rules.check(store.items, store.item_table)
        return cls(
            plan.candidate,
            fit,
            valid,
            protocol,
            store.items,
            options,
            store.item_table,
            store.candidates(known),
        )

    def __call__(
        self,
        parameters: Mapping[str, Any],
        *,
        on_validation: Callable[[dict[str, float], float], None],
        progress: Progress,
    ) -> dict[str, float]:
        """Train with parameters, and return the metrics; of a neural model the best ones.

        Args:
            parameters: values that differ from the preset.
            on_validation: receives the metrics at each validation of a neural model, and the share
                of the training before it; an exception it raises ends the training.
            progress: receives the progress; may raise, too.

        Raises:
            ConfigError: an invalid combination of parameters, or insufficient memory.
            TrainingError: a loss, gradient or weight is not finite.
            InterruptedRunError: Ctrl-C during the training of a neural model.
        """
        config, training = self.candidate.configs(parameters)
        if training is not None:
            return self._train_neural(config, training, on_validation, progress)
        metric, seed = self.options.metric, self.options.seed
        model = self.candidate.model.fit(self.fit, config, seed=seed, progress=progress)
        _, k = parse_metric(metric)
        evaluation = evaluate(
            model,
            self.valid,
            ks=[k],
            protocol=self.protocol,
            items=self.items,
            candidates=self.candidates,
            item_table=self.item_table,
            n_bootstrap=0,
            progress=progress,
        )
        return _of_accuracy({n: value.value for n, value in evaluation.metrics.items()})

    def _train_neural(
        self,
        model_config: Any,
        config: TrainingConfig,
        on_validation: Callable[[dict[str, float], float], None],
        progress: Progress,
    ) -> dict[str, float]:
        # imported here: classical models need no neural library
        from nextclick.experiments.neural_training import neural_class
        from nextclick.experiments.training_setup import check_memory, validation_callback
        from nextclick.training.device import seeded
        from nextclick.training.trainer import Trainer
        from nextclick.training.training_plan import TrainingPlan

        model_type, n_items = neural_class(self.candidate.model), self.fit.n_items
        model_config = model_type.for_log(model_config, self.fit)
        seed, device = self.options.seed, self.options.device
        dataset = model_type.dataset_info(model_config, self.fit, self.item_table)
        check_memory(
            model_type,
            model_config,
            config,
            dataset,
            n_items,
            device=device,
        )
        _, k = parse_metric(config.metric)
        validate = validation_callback(
            self.fit,
            self.valid,
            self.protocol,
            k,
            self.items,
            self.candidates,
            self.item_table,
        )

        plan = TrainingPlan.create(config, self.fit)
        ends = iter(plan.ends)

        def report_validation(model: NeuralModel) -> dict[str, float]:
            metrics = validate(model)
            on_validation(_of_accuracy(metrics), next(ends) / plan.passes)
            return metrics

        with seeded(seed):
            model = model_type(model_config, n_items, dataset)
        trainer = Trainer(model, config, seed=seed, device=device, plan=plan)
        training = trainer.run(self.fit, validate=report_validation, progress=progress)
        return _of_accuracy(training.selected)


def _of_accuracy(values: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of accuracy at any cut-off."""
    return {n: float(value) for n, value in values.items() if n.partition("@")[0] in _ACCURACY}
