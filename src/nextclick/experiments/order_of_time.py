"""The order of the sessions in training, shuffled or chronological, chosen on the validation.

On a log whose items change within days, a pass that ends with the latest sessions fits them better;
on others, shuffled sessions train better. With `choose_order` the training that selects the number
of epochs runs in both orders. The chronological one groups sessions by length within a window of
steps, so that it is as fast, and is stopped at the first validation from a third of its length on
at which it is behind the shuffled one. The better order trains the final model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.sessions import MS_PER_DAY
from nextclick.experiments.checkpoint_paths import IN_ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.experiments.training_halves import TrainingHalves
    from nextclick.experiments.training_setup import TrainingSetup
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.trainer import TrainingSummary
    from nextclick.training.training_config import TrainingConfig
    from nextclick.training.training_plan import TrainingPlan

SHUFFLED, CHRONOLOGICAL = "shuffled", "chronological"
_MIN_DAYS = 2.0
_WINDOW = 8  # steps
_FIRST_SHARE = 1 / 3  # of the training, before which it is not stopped


class _BehindError(Exception):
    """The chronological training is behind the shuffled one."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The training that selects the number of epochs, in the selected order.

    Attributes:
        model: trained on `train_inner`.
        training: its summary; the plan names the order.
        order: the metric of each order, the selected one, and whether the chronological training
            was stopped early, as JSON values; None if only one order was trained.
    """

    model: NeuralModel
    training: TrainingSummary
    order: dict[str, Any] | None = None


def tries_both_orders(config: TrainingConfig, sessions: Sessions) -> bool:
    """Whether a training on the sessions chooses their order: `choose_order`, and days of times."""
    if not (config.choose_order and config.shuffle and config.keep == "best"):
        return False
    if sessions.times is None or not len(sessions.times):
        return False
    # the middle of the log: single clicks of another year do not make it longer
    ends = sessions.times[sessions.offsets[1:] - 1]
    first, last = ends[len(ends) // 20], ends[len(ends) - 1 - len(ends) // 20]
    return bool(last - first >= 0.9 * _MIN_DAYS * MS_PER_DAY)


def in_order(config: TrainingConfig) -> TrainingConfig:
    """The config of the chronological training."""
    return replace(config, shuffle=False, length_window=_WINDOW)


def with_order_of(plan: TrainingPlan, config: TrainingConfig) -> TrainingConfig:
    """The config with the order of the sessions that a plan was selected with."""
    return config if plan.shuffle == config.shuffle else in_order(config)


def select(
    setup: TrainingSetup, progress: TrainingHalves, *, folder: str = ".", both: bool
) -> Selection:
    """Train on `train_inner`, in both orders if `both`, and keep the better training.

    Raises:
        InterruptedRunError: Ctrl-C.
        TrainingError: a loss, gradient or weight is not finite.
    """
    config, metric = setup.config, setup.config.metric
    model, training = setup.train("train_inner", config, progress.selecting, folder=folder)
    if not both:
        return Selection(model, training)
    shuffled = [entry[metric] for entry in training.history]
    chronological: Sequence[dict[str, Any]] = ()

    def stop_if_behind(share: float, history: Sequence[dict[str, Any]]) -> None:
        nonlocal chronological
        chronological = history
        best = max(entry[metric] for entry in history)
        if _FIRST_SHARE <= share < 1 and best < best_until(shuffled, share):
            raise _BehindError

    record: dict[str, Any] = {"metric": metric, SHUFFLED: max(shuffled), "stopped": False}
    try:
        other = setup.train(
            "train_inner",
            in_order(config),
            progress.ordering,
            folder=IN_ORDER,
            on_interval=stop_if_behind,
        )
        chronological = other[1].history  # also if an earlier run had completed it
    except _BehindError:
        other, record["stopped"] = (model, training), True
    record[CHRONOLOGICAL] = max(entry[metric] for entry in chronological)
    # at equal values the simpler order
    if not record["stopped"] and record[CHRONOLOGICAL] > record[SHUFFLED]:
        history = list(training.history)
        return Selection(*other, record | {"selected": CHRONOLOGICAL, "other_history": history})
    history = list(chronological)
    return Selection(model, training, record | {"selected": SHUFFLED, "other_history": history})


def describe_order(record: dict[str, Any]) -> str:
    """What was selected, for a reader.

    >>> describe_order({"metric": "recall@20", "shuffled": 0.5, "chronological": 0.4,
    ...                 "selected": "shuffled", "stopped": True})
    'sessions shuffled (recall@20 0.5000; in chronological order 0.4000, stopped early)'
    """
    values = {name: f"{record[name]:.4f}" for name in (SHUFFLED, CHRONOLOGICAL)}
    metric, stopped = record["metric"], ", stopped early" if record["stopped"] else ""
    if record["selected"] == SHUFFLED:
        return (
            f"sessions shuffled ({metric} {values[SHUFFLED]}; in chronological order "
            f"{values[CHRONOLOGICAL]}{stopped})"
        )
    return (
        f"sessions in chronological order ({metric} {values[CHRONOLOGICAL]}; shuffled "
        f"{values[SHUFFLED]})"
    )


def best_until(history: Sequence[float], share: float) -> float:
    """The best of the validations up to a share of the training.

    >>> best_until([0.1, 0.3, 0.2, 0.4], 0.5)
    0.3
    """
    return max(history[: max(round(share * len(history)), 1)])
