"""The configs, data and checkpoints that the trainings of one neural model share."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.cutoffs import catalog_metric
from nextclick.core.metrics import parse_metric
from nextclick.core.processes import current
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.block_history import training_ends_with_block, with_blocks
from nextclick.experiments.checkpoint_paths import CHOOSE
from nextclick.experiments.requirements import check_store
from nextclick.experiments.validation_sample import validation_sample
from nextclick.models.features.feature_options import feature_names
from nextclick.models.features.item_features import known_items
from nextclick.models.sharding.construction import build_sharded
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.config_checks import check_sharded
from nextclick.training.device import choose_device, seeded
from nextclick.training.memory_estimate import estimate, expected_size, free_memory
from nextclick.training.trackers import open_trackers
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import build_configs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.models.dataset_info import DatasetInfo
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.loop import OnInterval, Validate
    from nextclick.training.trainer import TrainingSummary
    from nextclick.training.training_config import NeuralOptions, TrainingConfig
    from nextclick.training.training_plan import TrainingPlan

_REPORTED_K = 20  # validation metrics are also reported at this cut-off


class TrainingSetup:
    """Configs, store, options and seed shared by the trainings of one model.

    Attributes:
        chosen: the parameters whose values depend on the log, see `NeuralModel.for_log`.
    """

    def __init__(
        self,
        model_type: type[NeuralModel],
        store: Store,
        values: Mapping[str, Any],
        options: NeuralOptions,
        seed: int,
    ):
        self.model_type = model_type
        self.store = store
        self.options = options
        self.seed = seed
        self.n_items = len(store.items)
        requested, config = build_configs(
            model_type.name,
            model_type.Config,
            model_type.presets,
            options.preset,
            values,
        )
        # before the validation, so that it chooses between epochs of the model that is trained last
        self.model_config = model_type.for_log(requested, store.part("train_inner"))
        self.chosen = _differing(requested, self.model_config)
        check_store(model_type, self.model_config, store)
        config = config.for_catalog(self.n_items)
        self.config = replace(config, metric=catalog_metric(config.metric, self.n_items))
        if options.shard_items:
            model_type.check_splittable()
            check_sharded(model_type.name, feature_names(self.model_config), self.config)
        _, self.k = parse_metric(self.config.metric)
        check_memory(
            model_type,
            self.model_config,
            self.config,
            model_type.dataset_info(self.model_config, store.part("train"), store.item_table),
            self.n_items,
            device=options.device,
            n_parts=current().size if options.shard_items else 1,
        )

    def train(
        self,
        part: str,
        config: TrainingConfig,
        progress: Progress,
        *,
        plan: TrainingPlan | None = None,
        folder: str = ".",
        on_interval: OnInterval | None = None,
    ) -> tuple[NeuralModel, TrainingSummary]:
        """Train a model with fresh weights on a part; on `train_inner`, validate it.

        Args:
            part: "train_inner" or "train".
            config: training parameters.
            progress: receives the progress.
            plan: length of the run; None is that of the config.
            folder: of the checkpoints, below that of the options.
            on_interval: see `Trainer.run`.
        """
        sessions = self.store.part(part)
        dataset = self.model_type.dataset_info(self.model_config, sessions, self.store.item_table)
        processes = current()
        with seeded(self.seed):
            if self.options.shard_items:
                model = build_sharded(
                    self.model_type, self.model_config, self.n_items, dataset, processes
                )
            else:
                model = self.model_type(self.model_config, self.n_items, dataset)
        trainer = processes.agree(
            lambda: Trainer(model, config, seed=self.seed, device=self.options.device, plan=plan)
        )
        checkpoints = processes.on_first(lambda: self._checkpoints(part, folder))
        trackers = processes.agree(
            lambda: open_trackers(
                self.options.track if processes.is_first else (),
                None if checkpoints is None else checkpoints.folder,
                {"model": model.name, "part": part, "seed": self.seed}
                | asdict(self.model_config)
                | asdict(config),
            )
        )
        try:
            training = trainer.run(
                sessions,
                validate=self._validation() if part == "train_inner" else None,
                on_interval=on_interval,
                checkpoints=checkpoints,
                trackers=trackers,
                progress=progress,
            )
        finally:
            for tracker in trackers:
                tracker.close()
        return model, training

    def _checkpoints(self, part: str, folder: str) -> Checkpoints | None:
        if self.options.checkpoints is None:
            return None
        path = self.options.checkpoints / folder
        # if the training that selects the number of epochs was interrupted, the second one has no
        # checkpoint yet
        is_first = folder == CHOOSE or (
            folder == "." and not (self.options.checkpoints / CHOOSE).exists()
        )
        resume = self.options.resume and (is_first or (path / "checkpoint").exists())
        return Checkpoints(path, resume, {"store": self.store.fingerprint, "part": part})

    def with_full_graph(self, model: NeuralModel, part: str) -> NeuralModel:
        """The model with the temporal item graph, if it has one, of all sessions before the test.

        With part "train_inner" the weights are not trained on the latest sessions; items that do
        not occur in the part stay unknown. A block in which the test begins stays open.
        """
        sessions = self.store.part("train").mask_unseen_items(self.store.part(part).support())
        return with_blocks(model, sessions, is_over=training_ends_with_block(self.store))

    def _validation(self) -> Validate:
        """Rank the validation as `evaluate` does; items not in `train_inner` are unknown.

        Of a large validation a sample is ranked; see `validation_sample`.
        """
        inner, store = self.store.part("train_inner"), self.store
        known = known_items(self.model_config, inner.support(), store.item_table)
        valid = validation_sample(store.part("valid")).mask_unseen_items(known)
        return validation_callback(
            inner, valid, store_protocol(store), self.k, store.items, store.candidates(known)
        )


def _differing(requested: Any, resolved: Any) -> dict[str, Any]:
    """The parameters of a resolved config that differ from the requested one."""
    before = asdict(requested)
    return {name: value for name, value in asdict(resolved).items() if value != before[name]}


def validation_callback(
    fit: Sessions,
    valid: Sessions,
    protocol: RankingProtocol,
    k: int,
    items: Vocabulary,
    candidates: BoolArray | None = None,
    item_table: ItemTable | None = None,
) -> Validate:
    """Return a function that ranks the validation and returns its metrics at K and at 20.

    A model with a temporal item graph is evaluated prequentially, as it is trained: a session reads
    the graph of the blocks before its own.
    """
    ks = sorted({k, min(_REPORTED_K, valid.n_items)})

    def validate(model: NeuralModel) -> dict[str, float]:
        history = fit if model.capabilities.update == "by-block" else None
        evaluation = evaluate(
            model,
            valid,
            ks=ks,
            protocol=protocol,
            history=history,
            items=items,
            candidates=candidates,
            item_table=item_table,
            n_bootstrap=0,
        )
        return {name: metric.value for name, metric in evaluation.metrics.items()}

    return validate


def check_memory(
    model_type: type[NeuralModel],
    model_config: object,
    config: TrainingConfig,
    dataset: DatasetInfo,
    n_items: int,
    *,
    device: str,
    n_parts: int = 1,
) -> None:
    """Check that a training fits into the available memory.

    Args:
        model_type: the model.
        model_config: its parameters.
        config: training parameters.
        dataset: properties of the log.
        n_items: N.
        device: auto, cpu or cuda.
        n_parts: the number of processes that the rows of the item tables are split over.

    Raises:
        ConfigError: it does not; the message has the estimate, its parts, and what to change.
    """
    size = expected_size(model_type, model_config, -(-n_items // n_parts), dataset)
    size = replace(size, n_items=n_items)
    estimate(size, config).check(free_memory(choose_device(device)))
