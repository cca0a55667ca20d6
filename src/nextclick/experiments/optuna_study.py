"""A study of Optuna in a folder: asked for points, told what came of them, resumed.

A point is drawn from (seed, how many trials there are) and the trials so far, never from the state
of a generator, so that a study that was killed goes on as one that was not. The trial that a killed
run was in is forgotten and drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.search_space import Bundles, Choice, FloatRange, IntRange
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.search_space import Space

_NAME = "nextclick"
# A trial is held against others at the same share of its own epochs, in thousandths: after as many
# epochs a short schedule is always ahead, for its rate has fallen further.
_WHOLE = 1000
_FIRST_RUNG = 250  # before that no trial is stopped
_REDUCTION = 2  # of that many trials one goes on to a rung that is as many times as far
_SECONDS, _FAILED = "seconds", "failed"
_FEWEST_FOR_IMPORTANCE = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one point.

    Attributes:
        number: from 0.
        state: complete; pruned, stopped because others were better at that point; or failed.
        value: the metric on the validation, None if it is not complete.
        seconds: it took.
        point: name of a dimension to the value there.
        history: the metric after each epoch.
        error: why it failed.
    """

    number: int
    state: str
    value: float | None
    seconds: float
    point: dict[str, Any]
    history: list[float] = field(default_factory=list)
    error: str | None = None


class Study:
    """The trials of one search. Close it when done."""

    def __init__(self, file: Path, space: Space, *, seed: int, prunes: bool):
        """Open or begin the study in a file.

        Args:
            file: SQLite.
            space: where points are drawn.
            seed: of the points.
            prunes: stop trials that are worse than most at a quarter or half of their epochs.

        Raises:
            ConfigError: Optuna is not installed, or the file is none of its studies.
        """
        self._optuna = import_optuna()
        self._states = self._optuna.trial.TrialState
        self._seed = seed
        self._distributions = {name: self._distribution(one) for name, one in space.items()}
        pruners = self._optuna.pruners
        pruner = pruners.SuccessiveHalvingPruner(_FIRST_RUNG, _REDUCTION)
        try:
            self._storage = self._optuna.storages.RDBStorage(f"sqlite:///{file}")
            self._study = self._optuna.create_study(
                storage=self._storage,
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
                pruner=pruner if prunes else pruners.NopPruner(),
            )
        except Exception as error:  # a broken file shows in many ways
            raise ConfigError(
                f"{file}: cannot be opened as a study: {error}; name another folder, or say "
                "--overwrite to begin anew"
            ) from error
        for left in self._study.get_trials(deepcopy=False, states=(self._states.RUNNING,)):
            self._study.tell(left.number, state=self._states.FAIL)  # the run was killed in it

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _distribution(self, one: IntRange | FloatRange | Choice | Bundles) -> Any:
        kinds = self._optuna.distributions
        if isinstance(one, IntRange):
            return kinds.IntDistribution(one.least, one.most, log=one.log)
        if isinstance(one, FloatRange):
            return kinds.FloatDistribution(one.least, one.most, log=one.log)
        return kinds.CategoricalDistribution(
            one.values if isinstance(one, Choice) else tuple(one.named)
        )

    def _own(self) -> list[Any]:
        """The trials that came to an end of their own, in their order."""
        found = self._study.get_trials(deepcopy=False)
        ended = (self._states.COMPLETE, self._states.PRUNED)
        return [t for t in found if t.state in ended or _FAILED in t.user_attrs]

    def trials(self) -> list[Trial]:
        """What came of the points so far."""
        return [
            Trial(
                number=number,
                state={"COMPLETE": "complete", "PRUNED": "pruned"}.get(one.state.name, "failed"),
                value=one.value if one.state is self._states.COMPLETE else None,
                seconds=float(one.user_attrs.get(_SECONDS, 0.0)),
                point=dict(one.params),
                history=[one.intermediate_values[at] for at in sorted(one.intermediate_values)],
                error=one.user_attrs.get(_FAILED),
            )
            for number, one in enumerate(self._own())
        ]

    def seconds(self) -> float:
        """How long all trials took, over all runs, those among them that were broken off."""
        found = self._study.get_trials(deepcopy=False)
        return sum(float(one.user_attrs.get(_SECONDS, 0.0)) for one in found)

    def ask(self, given: Mapping[str, Any] | None = None) -> Asked:
        """The next point to try, drawn by TPE, or a given one."""
        number = len(self._own())
        if given is None:
            drawn = np.random.SeedSequence([self._seed, number]).generate_state(1)[0]
            self._study.sampler = self._optuna.samplers.TPESampler(seed=int(drawn))
        else:
            self._study.sampler = _given(self._optuna, given)
        return Asked(self._study, self._study.ask(self._distributions), self._states, number)

    def importance(self) -> dict[str, float]:
        """Share of each dimension in what is good, by PED-ANOVA; empty where nothing can be said.

        It looks at how unlike the best tenth of the complete trials is to all of them in each
        dimension (Watanabe, Bansal, Hutter, IJCAI 2023).
        """
        values = [one.value for one in self.trials() if one.value is not None]
        if len(values) < _FEWEST_FOR_IMPORTANCE or len(set(values)) < 2:
            return {}
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
        found = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


class Asked:
    """A point that is being tried.

    Attributes:
        number: of the trial, from 0.
        point: name of a dimension to the value there.
    """

    def __init__(self, study: Any, trial: Any, states: Any, number: int):
        self._study = study
        self._trial = trial
        self._states = states
        self.number = number
        self.point: dict[str, Any] = dict(trial.params)

    def report(self, value: float, share: float, seconds: float) -> bool:
        """Note the metric after an epoch; whether others were so much better that it should end.

        Args:
            value: the metric.
            share: of its epochs that it has done, up to 1.
            seconds: it took so far.
        """
        self._trial.report(value, round(_WHOLE * share))
        self._trial.set_user_attr(_SECONDS, seconds)
        return share < 1 and bool(self._trial.should_prune())

    def complete(self, value: float, seconds: float) -> None:
        """It gave a value."""
        self._trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(self._trial, value)

    def prune(self, seconds: float) -> None:
        """It was stopped because others were better."""
        self._trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(self._trial, state=self._states.PRUNED)

    def fail(self, error: str, seconds: float) -> None:
        """It gave no value, and would not the next time."""
        self._trial.set_user_attr(_SECONDS, seconds)
        self._trial.set_user_attr(_FAILED, error)
        self._study.tell(self._trial, state=self._states.FAIL)

    def forget(self, seconds: float) -> None:
        """It was broken off from outside; the point will be drawn again."""
        self._trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(self._trial, state=self._states.FAIL)


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            f"tune searches with Optuna, which is not installed ({error}); "
            "`pip install 'nextclick[tune]'`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _given(optuna: Any, point: Mapping[str, Any]) -> Any:
    """A sampler that draws one point."""

    class Given(optuna.samplers.BaseSampler):  # type: ignore[misc]
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            del study, trial
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            del study, trial, search_space
            return {}

        def sample_independent(self, study: Any, trial: Any, name: str, one: Any) -> Any:
            del study, trial, one
            return point[name]

    return Given()
