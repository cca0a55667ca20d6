"""Train a neural model: choose the epoch on the validation, and learn from all if asked to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import checked_cutoff
from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.checkpoint_paths import CHOOSE, require_no_checkpoint
from nextclick.experiments.requirements import check_needs
from nextclick.models.neural_model import DatasetInfo, NeuralModel
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.device import choose_device, seeded
from nextclick.training.memory_estimate import estimate, free_memory, size_on_paper
from nextclick.training.run_log import open_trackers
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import build_configs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.models.base import Model
    from nextclick.training.loop import Validate
    from nextclick.training.trainer import Training
    from nextclick.training.training_config import NeuralOptions, TrainingConfig

SHOWN_K = 20  # validation is also shown at this cut-off


@dataclass(frozen=True, slots=True)
class Trained:
    """A neural model, and how it was trained."""

    model: NeuralModel
    figures: dict[str, Any]


def neural_class(model_type: type[Model]) -> type[NeuralModel]:
    """The class of a model that declares itself neural.

    Raises:
        ConfigError: it does not derive from `NeuralModel`.
    """
    if not issubclass(model_type, NeuralModel):
        raise ConfigError(
            f"model {model_type.name} declares neural=True, so {model_type.__name__} must derive "
            "from nextclick.models.neural_model.NeuralModel; derive from it, or declare neural=False"
        )
    return model_type


def train_neural(
    model_type: type[NeuralModel],
    store: Store,
    values: Mapping[str, Any],
    options: NeuralOptions,
    *,
    part: str,
    seed: int,
    overwrite: bool,
    progress: Progress,
) -> Trained:
    """Train on a part of a store.

    With part "train_inner" the model trains on everything before the validation, and keeps the
    weights of the epoch that validates best. With part "train" it does the same to select the
    number of epochs, and trains again from fresh weights, for that many epochs, on everything
    before the test: the validation sessions are then trained on, and select nothing but the number
    of epochs. With keep=last nothing is selected: the model trains for exactly `epochs` epochs.

    Args:
        model_type: the model.
        store: where the parts are.
        values: parameters of the model and of training that differ from the preset's.
        options: preset, device, checkpoints.
        part: "train_inner" or "train".
        seed: of weights, orders, negatives and dropout.
        overwrite: begin anew where a stopped run has left a checkpoint.
        progress: told how far it has come.

    Raises:
        ConfigError: parameters, a device or a tracker that do not fit, or too little memory.
        OutputError: a checkpoint that would be lost.
        ArtifactError: a checkpoint of another run.
        StoppedError: Ctrl-C.
        TrainingError: a loss, gradient or weight that is not finite.
    """
    work = _Work(model_type, store, values, options, seed, progress)
    if options.checkpoints is not None and not options.resume:
        require_no_checkpoint(options.checkpoints, overwrite=overwrite)
    config, chosen = work.config, None
    if part == "train" and config.keep == "best":
        _, chosen = work.train("train_inner", config, None, folder=CHOOSE)
        config = replace(config, keep="last")
    epochs = None if chosen is None else chosen.best_epoch
    model, training = work.train(part, config, epochs)
    model = work.knowing_all_days(model, part)
    figures = {
        "preset": options.preset or "default",
        "training": asdict(work.config),
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "validation": validated(chosen or training, work.config.metric),
        "history": list(training.history),
        "chosen_on": None if chosen is None else list(chosen.history),
        "samples_per_second": training.samples_per_second,
        "device": training.device,
        "threads": training.threads,
    }
    if model.edges_alive:
        figures["edges_alive"] = [
            {"block": block, "edges_alive": n} for block, n in model.edges_alive.items()
        ]
    return Trained(model, figures)


def validated(training: Training, metric: str) -> float | None:
    """What the epoch that was kept gave on the validation, None if nobody asked."""
    value: float | None = training.history[training.best_epoch - 1].get(metric)
    return value


def validation(fit: Sessions, valid: Sessions, protocol: RankingProtocol, k: int) -> Validate:
    """Ranks the validation, and measures at K and at what is shown besides.

    A model that keeps a graph of days is asked prequentially, as its training is: a session of a
    block knows the blocks before it.
    """
    ks = sorted({k, min(SHOWN_K, valid.n_items)})

    def validate(model: NeuralModel) -> dict[str, float]:
        history = fit if model.capabilities.update == "by-block" else None
        found = evaluate(model, valid, ks=ks, protocol=protocol, history=history, n_bootstrap=0)
        return {name: metric.value for name, metric in found.metrics.items()}

    return validate


def check_memory(
    model_type: type[NeuralModel],
    model_config: object,
    config: TrainingConfig,
    facts: DatasetInfo,
    n_items: int,
    *,
    device: str,
    keeps: bool,
) -> None:
    """Refuse a training that does not fit into the memory that is free.

    Raises:
        ConfigError: with the estimate, its parts, and what to change.
    """
    size = size_on_paper(model_type, model_config, n_items, facts)
    estimate(size, config, keeps=keeps).check(free_memory(choose_device(device)))


class _Work:
    """What all trainings of a model on a store have in common."""

    def __init__(
        self,
        model_type: type[NeuralModel],
        store: Store,
        values: Mapping[str, Any],
        options: NeuralOptions,
        seed: int,
        progress: Progress,
    ):
        self.model_type = model_type
        self.store = store
        self.options = options
        self.seed = seed
        self.progress = progress
        self.n_items = len(store.items)
        self.model_config, self.config = build_configs(
            model_type.name,
            model_type.Config,
            model_type.presets,
            options.preset,
            values,
        )
        check_needs(model_type, self.model_config, store)
        self.k = checked_cutoff(self.config.metric, self.n_items)
        reads = model_type.requires(self.model_config)
        check_memory(
            model_type,
            self.model_config,
            self.config,
            DatasetInfo.of(store.part("train"), reads),
            self.n_items,
            device=options.device,
            keeps=options.checkpoints is not None,
        )

    def train(
        self, part: str, config: TrainingConfig, epochs: int | None, folder: str = "."
    ) -> tuple[NeuralModel, Training]:
        """Train a model with fresh weights on a part, validating unless it learns from that."""
        sessions = self.store.part(part)
        facts = DatasetInfo.of(sessions, self.model_type.requires(self.model_config))
        with seeded(self.seed):
            model = self.model_type(self.model_config, self.n_items, facts)
        trainer = Trainer(model, config, seed=self.seed, device=self.options.device, epochs=epochs)
        place = self._place(part, folder)
        trackers = open_trackers(
            self.options.track,
            None if place is None else place.folder,
            {"model": model.name, "part": part, "seed": self.seed}
            | asdict(self.model_config)
            | asdict(config),
        )
        try:
            training = trainer.run(
                sessions,
                validate=self._validation() if part == "train_inner" else None,
                checkpoints=place,
                trackers=trackers,
                progress=self.progress,
            )
        finally:
            for tracker in trackers:
                tracker.close()
        return model, training

    def _place(self, part: str, folder: str) -> Checkpoints | None:
        if self.options.checkpoints is None:
            return None
        place = self.options.checkpoints / folder
        # a run that was stopped while it chose has not begun the second training
        first = folder != "." or not (self.options.checkpoints / CHOOSE).exists()
        resume = self.options.resume and (first or (place / "checkpoint").exists())
        return Checkpoints(place, resume, {"store": self.store.fingerprint, "part": part})

    def knowing_all_days(self, model: NeuralModel, part: str) -> NeuralModel:
        """A model that keeps a graph of days with all days before the test.

        With part "train_inner" its weights are not trained on the latest of them; items that are
        not in the part stay unknown.
        """
        known = self.store.part("train").as_known(self.store.part(part).support())
        return model.with_history(known)

    def _validation(self) -> Validate:
        """Ranks the validation part as `evaluate` does: what the part before lacks is unknown."""
        inner = self.store.part("train_inner")
        valid = self.store.part("valid").as_known(inner.support())
        return validation(inner, valid, store_protocol(self.store), self.k)
