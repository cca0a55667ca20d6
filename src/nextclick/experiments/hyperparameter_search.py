"""Tries points until trials, budget or points end; what it is given holds no test."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from nextclick.errors import StoppedError
from nextclick.experiments.recipe import Recipe, write_recipe
from nextclick.experiments.training_failures import FAILURES, reason_of
from nextclick.experiments.trial import ValidationObjective, measure
from nextclick.training.interrupt import Interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.experiments.optuna_study import Asked, Study, Trial
    from nextclick.experiments.search_plan import Plan
    from nextclick.experiments.trial import Parts
    from nextclick.training.training_config import TrainingConfig

BEST = "best.toml"
_REPEATS = 20  # points in a row that had been tried before: the space holds little else
_HOPELESS = 10  # trials, none of which gave a figure


class _PrunedError(Exception):
    """Other trials were better at the same share of their epochs."""


class _OutOfTimeError(Exception):
    """The budget ended in a trial."""


class Search:
    """Tries points until trials, budget or points end."""

    def __init__(self, plan: Plan, parts: Parts, study: Study, folder: Path, progress: Progress):
        self.plan = plan
        self.parts = parts
        self.study = study
        self.folder = folder
        self.progress = progress
        asked = plan.options
        self.judge = ValidationObjective(asked.metric, asked.seed, asked.device)
        self.trials = study.trials()
        self.spent = study.seconds()

    def run(self) -> bool:
        """Search; whether Ctrl-C ended it."""
        if best_of(self.trials) is not None:
            self._keep_best()
        self.since = time.perf_counter()  # the last trial ended
        with Interrupt() as self.interrupt:
            while not self._done():
                if self.interrupt.asked:
                    return True
                number = len(self.trials)
                points = self.plan.points
                asked = self.study.ask(points[number] if number < len(points) else None)
                twin = next((t for t in self.trials if t.point == asked.point), None)
                attempt = _Attempt(self, asked)
                if twin is not None:
                    attempt.repeat(twin)
                elif not attempt.run():
                    return True
                self.since = time.perf_counter()
                self.spent = self.study.seconds()
                best = best_of(self.trials)
                self.trials = self.study.trials()
                if best_of(self.trials) is not best:
                    self._keep_best()
        return False

    def _done(self) -> bool:
        options, n = self.plan.options, len(self.trials)
        if options.grid and n >= len(self.plan.points):
            return True
        if options.trials is not None and n >= options.trials:
            return True
        if n and options.budget is not None and self.spent >= options.budget:
            return True
        if n >= _HOPELESS and all(trial.state == "failed" for trial in self.trials):
            return True
        last = self.trials[-_REPEATS:]
        earlier = [trial.point for trial in self.trials[: -len(last) or None]]
        return len(last) == _REPEATS and all(trial.point in earlier for trial in last)

    def _keep_best(self) -> None:
        best = best_of(self.trials)
        assert best is not None and best.value is not None
        plan, first = self.plan, self.trials[0]
        told = "" if first.value is None else f"; with the preset alone {first.value:.4f}"
        about = (
            f"{plan.options.metric} {best.value:.4f} on the validation, trial {best.number} of "
            f"{len(self.trials)}{told}"
        )
        recipe = Recipe(
            plan.contender.name, plan.options.preset, plan.options.seed, plan.values(best.point)
        )
        write_recipe(self.folder / BEST, recipe, about)


class _Attempt:
    """One trial while it runs: timed, told of, pruned, cut, or stopped."""

    def __init__(self, search: Search, asked: Asked):
        self.search = search
        self.asked = asked
        self.values = search.plan.values(asked.point)
        self.began = search.since  # the drawing of the point counts
        self.reached: list[float] = []

    def run(self) -> bool:
        """Try the point and note what came of it; False if Ctrl-C stopped it."""
        search, asked = self.search, self.asked
        try:
            value = measure(
                search.plan.contender,
                self.values,
                search.parts,
                search.judge,
                told=self._epoch,
                progress=self._progress,
            )
        except (StoppedError, KeyboardInterrupt):
            asked.forget(self._seconds())
            return False
        except _PrunedError:
            asked.prune(self._seconds())
        except _OutOfTimeError:
            self._cut()
        except FAILURES as error:
            asked.fail(reason_of(error), self._seconds())
        else:
            asked.complete(value, self._seconds())
        return True

    def repeat(self, twin: Trial) -> None:
        """Note what came of the same point before."""
        asked = self.asked
        for n, value in enumerate(twin.history, 1):
            asked.report(value, self._share(n), 0.0)
        if twin.state == "complete":
            assert twin.value is not None
            asked.complete(twin.value, 0.0)
        elif twin.state == "pruned":
            asked.prune(0.0)
        else:
            asked.fail(twin.error or "", 0.0)

    @cached_property
    def _training(self) -> TrainingConfig | None:
        """Of a neural model."""
        return self.search.plan.contender.configs(self.values)[1]

    def _share(self, epochs: int) -> float:
        """So many epochs as a share of those that a neural trial has, if nothing ends it early."""
        assert self._training is not None
        return epochs / self._training.epochs

    def _seconds(self) -> float:
        return time.perf_counter() - self.began

    def _epoch(self, value: float) -> None:
        self.reached.append(value)
        if self.asked.report(value, self._share(len(self.reached)), self._seconds()):
            raise _PrunedError

    def _keeps_best(self) -> bool:
        """Whether a training that ends now has the figure of its best epoch so far."""
        training = self._training
        return training is not None and training.keep == "best" and not training.pretrain_epochs

    def _cut(self) -> None:
        if self.reached and self._keeps_best():
            # all epochs would give as much or more: the best one is kept
            self.asked.complete(max(self.reached), self._seconds())
        else:
            self.asked.prune(self._seconds())

    def _progress(self, stage: str, done: int, total: int | None) -> None:
        search = self.search
        options = search.plan.options
        if search.interrupt.asked:
            raise KeyboardInterrupt
        spent = search.spent + self._seconds()
        over = options.budget is not None and spent >= options.budget
        # the first trial is there to be beaten: it ends if it has no figure yet
        if over and (self.asked.number or (self.reached and self._keeps_best())):
            raise _OutOfTimeError
        told = [f"tune · {self.asked.number} trials done"]
        best = best_of(search.trials)
        if best is not None:
            told.append(f"best {options.metric} {best.value:.4f}")
        share = f" {100 * done / total:.0f} %" if total else ""
        told.append(f"{stage}{share}")
        n = options.trials or (len(search.plan.points) if options.grid else None)
        if options.budget is not None:
            search.progress(" · ".join(told), int(min(spent, options.budget)), int(options.budget))
        else:
            search.progress(" · ".join(told), self.asked.number, n)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial of the largest value, the first of equals; None if there is none."""
    complete = [trial for trial in trials if trial.value is not None]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)
