"""A hyperparameter search: runs trials until the limit of trials, time or points."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import optuna
from optuna.trial import TrialState

from nextclick.errors import InterruptedRunError
from nextclick.experiments.recipe import Recipe, write_recipe
from nextclick.experiments.training_failures import TRAINING_FAILURES, failure_reason
from nextclick.experiments.tuning_study import (
    ERROR,
    METRICS,
    REPEATS,
    SECONDS,
    best_trial,
    finished_trials,
    prepare_trial,
    report_validation,
    suggest,
    total_seconds,
    trial_rows,
)
from nextclick.training.interrupt import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from nextclick.core.types import Progress
    from nextclick.experiments.search_plan import SearchPlan
    from nextclick.experiments.validation_objective import ValidationObjective
    from nextclick.training.training_config import TrainingConfig

_MAX_REPEATS = 20  # repeated points in a row that end the search: the space is exhausted
_MAX_FAILURES = 10  # failed trials that end the search if no trial succeeded


class _TrialFailedError(Exception):
    """The trial failed; the reason is a user attribute."""


class _OutOfTimeError(Exception):
    """The budget ended within a trial."""


@dataclass
class Search:
    """Runs the trials of a study, and writes the best recipe whenever it improves.

    Attributes:
        plan: what is searched.
        objective: what is maximized.
        study: where trials are stored.
        best_recipe: file of the best recipe.
        on_trial: receives each trial before the next one starts, as docs/json.md lists it; those of
            an interrupted search first.
        progress: receives the seconds of the budget, or the number of trials.
    """

    plan: SearchPlan
    objective: ValidationObjective
    study: optuna.Study
    best_recipe: Path
    on_trial: Callable[[dict[str, Any]], None]
    progress: Progress
    _best: FrozenTrial | None = None
    _n_shown: int = 0  # trials that `on_trial` has received

    def run(self) -> bool:
        """Search until a limit; return False if Ctrl-C ended the search."""
        with Interrupt() as self._interrupt:
            try:
                if self._next_trial():
                    self.study.optimize(
                        lambda trial: _TrialRun(self, trial).value(),
                        catch=_TrialFailedError,
                        callbacks=[lambda study, _: None if self._next_trial() else study.stop()],
                    )
            except (InterruptedRunError, KeyboardInterrupt):
                return False
        return True

    def _next_trial(self) -> bool:
        """Evaluate the trials so far, and prepare the next one; False if a limit is reached."""
        self.finished = finished_trials(self.study)
        self._spent = total_seconds(self.study)
        for row in trial_rows(self.study, self.plan.space)[self._n_shown :]:
            self.on_trial(row)
            self._n_shown += 1
        best = best_trial(self.finished)
        if best is not None and (self._best is None or best.number != self._best.number):
            self._best = best
            self._write_best(best)
        if self._is_over():
            return False
        if self._interrupt.requested:
            raise KeyboardInterrupt
        prepare_trial(self.study, self.plan.first_points, self.plan.options.seed)
        return True

    def _is_over(self) -> bool:
        options, trials, n = self.plan.options, self.finished, len(self.finished)
        last = trials[-_MAX_REPEATS:]
        return bool(
            (options.grid and n >= len(self.plan.first_points))
            or (options.trials is not None and n >= options.trials)
            or (n and options.budget is not None and self._spent >= options.budget)
            or (n >= _MAX_FAILURES and all(trial.state is TrialState.FAIL for trial in trials))
            or (n >= _MAX_REPEATS and all(REPEATS in trial.user_attrs for trial in last))
        )

    def _write_best(self, best: FrozenTrial) -> None:
        plan, first = self.plan, self.finished[0]
        comment = (
            f"{plan.options.metric} {best.value:.4f} on the validation part, trial "
            f"{self.finished.index(best)} of {len(self.finished)}"
        )
        if first.state is TrialState.COMPLETE:
            comment += f"; the preset alone has {first.value:.4f}"
        parameters = plan.parameters(best.params)
        recipe = Recipe(plan.candidate.name, plan.options.preset, plan.options.seed, parameters)
        write_recipe(self.best_recipe, recipe, comment)

    def report(self, stage: str, seconds: float, *, may_end: bool) -> None:
        """Report the progress of a trial, and end it if the budget is spent or Ctrl-C was pressed.

        Args:
            stage: of the trial.
            seconds: duration of the trial so far.
            may_end: the trial has a value. The first trial does not end without one, because it is
                the baseline.
        """
        if self._interrupt.requested:
            raise KeyboardInterrupt
        options, n = self.plan.options, len(self.finished)
        spent = self._spent + seconds
        if options.budget is not None and spent >= options.budget and (n or may_end):
            raise _OutOfTimeError
        text = f"tune · {n} trials done"
        if self._best is not None:
            text += f" · best {options.metric} {self._best.value:.4f}"
        done, total = n, options.trials or (len(self.plan.first_points) if options.grid else None)
        if options.budget is not None:
            done, total = int(min(spent, options.budget)), int(options.budget)
        self.progress(f"{text} · {stage}", done, total)


class _TrialRun:
    """One trial: measured, pruned, or ended by the budget."""

    def __init__(self, search: Search, trial: optuna.Trial):
        self._search = search
        self._trial = trial
        self._start = time.perf_counter()  # sampling the point counts
        self._point = suggest(trial, search.plan.space)
        self._parameters = search.plan.parameters(self._point)
        self._metrics: list[dict[str, float]] = []  # of each validation

    def value(self) -> float:
        """The metric on the validation part.

        Raises:
            TrialPruned: other trials were better, or the budget ended.
            _TrialFailedError: the training failed.
            InterruptedRunError: Ctrl-C in a neural training; else KeyboardInterrupt.
        """
        finished = self._search.finished
        earlier = next((trial for trial in finished if trial.params == self._point), None)
        try:
            if earlier is not None:
                return self._repeat(earlier)
            return self._keep(
                self._search.objective(
                    self._parameters, on_validation=self._validated, progress=self._report
                )
            )
        except _OutOfTimeError:
            if self._has_value():
                return self._keep(max(self._metrics, key=self._value_of))
            raise optuna.TrialPruned from None
        except TRAINING_FAILURES as error:
            self._fail(failure_reason(error))
        finally:
            self._trial.set_user_attr(SECONDS, self._seconds())

    def _keep(self, metrics: dict[str, float]) -> float:
        """Store the metrics of the trial, and return the one that is maximized."""
        self._trial.set_user_attr(METRICS, metrics)
        return self._value_of(metrics)

    def _value_of(self, metrics: dict[str, float]) -> float:
        return metrics[self._search.plan.options.metric]

    def _repeat(self, earlier: FrozenTrial) -> float:
        """Copy the outcome of an earlier trial of the same point."""
        self._trial.set_user_attr(REPEATS, earlier.number)
        for step, value in sorted(earlier.intermediate_values.items()):
            self._trial.report(value, step)
        if earlier.state is TrialState.PRUNED:
            raise optuna.TrialPruned
        if earlier.value is None:
            self._fail(earlier.user_attrs[ERROR])
        self._trial.set_user_attr(METRICS, earlier.user_attrs.get(METRICS))
        return earlier.value

    def _fail(self, reason: str) -> NoReturn:
        self._trial.set_user_attr(ERROR, reason)
        raise _TrialFailedError

    @cached_property
    def _training(self) -> TrainingConfig | None:
        """Of a neural model."""
        return self._search.plan.candidate.configs(self._parameters)[1]

    def _validated(self, metrics: dict[str, float], share: float) -> None:
        self._metrics.append(metrics)
        self._trial.set_user_attr(SECONDS, self._seconds())  # in case the process is killed
        report_validation(self._trial, self._value_of(metrics), share)

    def _report(self, stage: str, done: int, total: int | None) -> None:
        share = f" {100 * done / total:.0f} %" if total else ""
        self._search.report(f"{stage}{share}", self._seconds(), may_end=self._has_value())

    def _has_value(self) -> bool:
        """Whether the training, if it ended now, would give its best value so far."""
        training = self._training
        selects = training and training.keep == "best" and not training.pretrain_epochs
        return bool(self._metrics and selects)

    def _seconds(self) -> float:
        return time.perf_counter() - self._start
