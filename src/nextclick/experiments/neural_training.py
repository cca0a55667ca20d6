"""Train a neural model, and select its epoch or the number of epochs on the validation part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.processes import current
from nextclick.errors import ConfigError
from nextclick.experiments import order_of_time
from nextclick.experiments.checkpoint_paths import CHOOSE, require_no_checkpoint
from nextclick.experiments.training_halves import TrainingHalves
from nextclick.experiments.training_setup import TrainingSetup
from nextclick.experiments.validation_baselines import validation_baselines
from nextclick.experiments.validation_sample import MAX_SESSIONS
from nextclick.models.neural_model import NeuralModel
from nextclick.training.training_config import result_affecting
from nextclick.version import __version__, code_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.models.base import Model
    from nextclick.training.trainer import TrainingSummary
    from nextclick.training.training_config import NeuralOptions
    from nextclick.training.training_plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class NeuralTraining:
    """A trained neural model.

    Attributes:
        model: the model.
        record: how it was trained, as JSON values for the manifest.
        plan: the plan of the training, up to the selected weights.
    """

    model: NeuralModel
    record: dict[str, Any]
    plan: TrainingPlan


def neural_class(model_type: type[Model]) -> type[NeuralModel]:
    """The class of a model that declares itself neural.

    Raises:
        ConfigError: it does not derive from `NeuralModel`.
    """
    if not issubclass(model_type, NeuralModel):
        raise ConfigError(
            f"model {model_type.name} declares neural=True, so {model_type.__name__} must derive "
            "from nextclick.models.neural_model.NeuralModel; derive from it, or declare "
            "neural=False"
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
    plan: TrainingPlan | None = None,
) -> NeuralTraining:
    """Train on a part of a store.

    With part "train_inner" the model trains on everything before the validation, and keeps the
    weights that validate best. With part "train" it does the same to select the number of passes
    over the sessions, and trains again from fresh weights, for that many passes, on everything
    before the test: the validation sessions are then trained on, and select nothing but the number
    of passes and, with `choose_order`, the order of the sessions. Passes, not steps: the larger log
    takes more steps, and each click is seen as often, at the same learning rates. With keep=last
    nothing is selected: the model trains to the planned end.

    Args:
        model_type: the model.
        store: contains the parts.
        values: parameters of the model and of its training that differ from the preset.
        options: preset, device, checkpoints and trackers.
        part: "train_inner" or "train".
        seed: seed of weights, session order, negatives and dropout.
        overwrite: delete the checkpoint of an interrupted training.
        progress: receives the progress of the training.
        plan: the plan that an earlier training on "train_inner" selected; the model is then trained
            to its end, without another selection.

    Raises:
        ConfigError: an invalid parameter, device or tracker, or insufficient memory.
        OutputError: a checkpoint exists, and neither resume nor `overwrite` is set.
        ArtifactError: the checkpoint is of another training.
        InterruptedRunError: Ctrl-C.
        TrainingError: a loss, gradient or weight is not finite.
    """
    processes = current()
    # what process 0 found, where only one machine has the checkpoint
    options = replace(options, resume=processes.from_first(options.resume))
    setup = processes.agree(lambda: TrainingSetup(model_type, store, values, options, seed))
    if processes.are_several:
        processes.check_equal(_shared_values(setup, part))
    folder = options.checkpoints
    if folder is not None and not options.resume:
        processes.on_first(lambda: require_no_checkpoint(folder, overwrite=overwrite))
    config, selection, baselines, order = setup.config, None, None, None
    both = order_of_time.tries_both_orders(config, store.part("train_inner"))

    def final(report: Progress, plan: TrainingPlan) -> tuple[NeuralModel, TrainingSummary]:
        ordered = order_of_time.with_order_of(plan, config)
        return setup.train(part, replace(ordered, keep="last"), report, plan=plan)

    if plan is not None:
        model, training = final(progress, plan)
    elif part == "train" and config.keep == "best":
        n_inner, n_all = (store.part(name).n_prefixes for name in ("train_inner", "train"))
        halves = TrainingHalves(progress, n_all / max(n_inner, 1), both)
        selected = order_of_time.select(setup, halves, folder=CHOOSE, both=both)
        selection, order = selected.training, selected.order
        baselines = validation_baselines(selected.model, store, config.metric, seed)
        model, training = final(halves.final, selection.selected_plan)
    else:
        if part == "train_inner" and both:
            selected = order_of_time.select(setup, TrainingHalves(progress, 0.0, both), both=both)
            model, training, order = selected.model, selected.training, selected.order
        else:
            model, training = setup.train(part, config, progress)
        if part == "train_inner":
            baselines = validation_baselines(model, store, config.metric, seed)
    model = setup.with_full_graph(model, part)
    record = {
        "preset": options.preset or "default",
        "training": asdict(order_of_time.with_order_of(training.selected_plan, config)),
        "epochs": training.epochs,
        "best_epoch": training.selected["epoch"],
        "validation": (selection or training).selected.get(setup.config.metric),
        "validation_sessions": _validation_sessions(store),
        "validation_baselines": baselines,
        "order": order,
        "history": list(training.history),
        "selection_history": None if selection is None else list(selection.history),
        "samples_per_second": training.samples_per_second,
        "device": training.device,
        "threads": training.threads,
    }
    if setup.chosen:
        record["chosen"] = setup.chosen
    if model.neighbor_pairs:
        record["neighbor_pairs"] = [
            {"block": block, "neighbor_pairs": n} for block, n in model.neighbor_pairs.items()
        ]
    return NeuralTraining(model, record, training.selected_plan)


def _shared_values(setup: TrainingSetup, part: str) -> dict[str, Any]:
    """What all processes of a training must have in common."""
    return {
        "the version of nextclick": __version__,
        "the digest of its code": code_digest(),
        "the fingerprint of the store": setup.store.fingerprint,
        "the model": setup.model_type.name,
        "the part": part,
        "the seed": setup.seed,
        "--shard-items": setup.options.shard_items,
        **asdict(setup.model_config),
        **result_affecting(asdict(setup.config)),
    }


def _validation_sessions(store: Store) -> dict[str, int]:
    """The number of validation sessions that a training ranks, and of all."""
    n_sessions = store.manifest["counts"]["valid"]["sessions"]
    return {"ranked": min(n_sessions, MAX_SESSIONS), "all": n_sessions}
