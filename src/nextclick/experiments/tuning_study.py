"""The Optuna study of a search: storage, sampling, and what a resumed search continues from.

The next point is sampled from (seed, number of finished trials) and the trials so far, never from
the state of a generator, so that a resumed study continues as an uninterrupted one. An interrupted
trial does not count: the next run tries its point again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState

from nextclick.core.search_space import Choice, FloatRange, IntRange, point_to_parameters
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from nextclick.core.search_space import Space

# user attributes of a trial
SECONDS, ERROR, REPEATS, METRICS = "seconds", "error", "repeats", "metrics"
# Trials are pruned at the same share of their own epochs, in thousandths: after the same number of
# epochs a short schedule is always ahead, because its learning rate has decayed further.
_SHARE_UNITS = 1000
_FIRST_RUNG = 250  # no trial is pruned before a quarter of its epochs
_REDUCTION = 2  # half of the trials continues to the next rung, at twice the share
_MIN_FOR_IMPORTANCE = 5
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@contextmanager
def open_study(file: Path, *, prune: bool) -> Iterator[optuna.Study]:
    """Create or resume the study in an SQLite database.

    Args:
        file: the database.
        prune: stop trials that are in the worse half at a quarter or half of their epochs.

    Raises:
        ConfigError: the file is not an Optuna study.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    halving = optuna.pruners.SuccessiveHalvingPruner(_FIRST_RUNG, _REDUCTION)
    try:
        _check_integrity(file)
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        study = optuna.create_study(
            storage=storage,
            study_name="nextclick",
            direction="maximize",
            load_if_exists=True,
            pruner=halving if prune else optuna.pruners.NopPruner(),
        )
        study.get_trials()  # reads every value
    except Exception as error:  # a broken file raises many types of errors
        raise ConfigError(
            f"{file}: cannot open the study: {error}; choose another folder, or use --overwrite "
            "to replace it"
        ) from error
    for killed in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(killed.number, state=TrialState.FAIL)
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_integrity(file: Path) -> None:
    """Check the structure of a database, if it exists; SQLite has no digests of its values.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    with closing(sqlite3.connect(file)) as database:
        (finding,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise sqlite3.DatabaseError(finding)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All trials that were not interrupted, in order."""
    trials = study.get_trials(deepcopy=False, states=list(_STATES))
    return [t for t in trials if t.state is not TrialState.FAIL or ERROR in t.user_attrs]


def best_trial(trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the highest value, the first of equals; None if there is none."""
    complete = (trial for trial in trials if trial.state is TrialState.COMPLETE)
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)


def total_seconds(study: optuna.Study) -> float:
    """Duration of all trials over all runs, including interrupted trials."""
    return sum(seconds_of(trial) for trial in study.get_trials(deepcopy=False))


def seconds_of(trial: FrozenTrial) -> float:
    """Duration of a trial."""
    return float(trial.user_attrs.get(SECONDS, 0.0))


def prepare_trial(study: optuna.Study, first_points: Sequence[dict[str, Any]], seed: int) -> None:
    """Enqueue the next of the first points; after the last one, seed the sampler."""
    number = len(finished_trials(study))
    if number >= len(first_points):
        state = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        study.sampler = optuna.samplers.TPESampler(seed=int(state))
    elif not study.get_trials(deepcopy=False, states=[TrialState.WAITING]):
        study.enqueue_trial(first_points[number])  # unless a killed run has enqueued it


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """The point of a trial: name of a dimension to its value."""
    point: dict[str, Any] = {}
    for name, dimension in space.items():
        if isinstance(dimension, IntRange):
            point[name] = trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
        elif isinstance(dimension, FloatRange):
            point[name] = trial.suggest_float(
                name, dimension.low, dimension.high, log=dimension.log
            )
        elif isinstance(dimension, Choice):
            point[name] = trial.suggest_categorical(name, dimension.values)
        else:
            point[name] = trial.suggest_categorical(name, tuple(dimension.bundles))
    return point


def report_validation(trial: optuna.Trial, value: float, share: float) -> None:
    """Report the metric after a share of the training of a trial, up to 1.

    Raises:
        TrialPruned: other trials were better at the same share of their training.
    """
    trial.report(value, round(_SHARE_UNITS * share))
    if share < 1 and trial.should_prune():
        raise optuna.TrialPruned


def importance(study: optuna.Study) -> dict[str, float]:
    """Importance of each dimension by PED-ANOVA; empty with fewer than five complete trials.

    It compares the distribution of the best tenth of the complete trials with that of all of them
    (Watanabe, Bansal, Hutter, IJCAI 2023).
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < _MIN_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def trial_rows(study: optuna.Study, space: Space) -> list[dict[str, Any]]:
    """The finished trials as JSON values, as docs/json.md lists them."""
    return [
        {
            "number": number,
            "state": _STATES[trial.state],
            "value": trial.value if trial.state is TrialState.COMPLETE else None,
            "metrics": trial.user_attrs.get(METRICS),
            "seconds": seconds_of(trial),
            "history": [value for _, value in sorted(trial.intermediate_values.items())],
            "error": trial.user_attrs.get(ERROR),
            "parameters": point_to_parameters(space, trial.params),
        }
        for number, trial in enumerate(finished_trials(study))
    ]
