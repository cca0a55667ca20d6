"""Search a model's parameters on the validation part; the test is not looked at."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.data.store import Store
from nextclick.errors import ConfigError, ScoringError, StoppedError, TrainingError
from nextclick.folders import write_json
from nextclick.pipeline.contender import Contender
from nextclick.pipeline.grid import checked_grid, grid_points
from nextclick.pipeline.growing import growing_folder
from nextclick.pipeline.needs import check_needs, need_matplotlib
from nextclick.pipeline.recipe import Recipe, write_recipe
from nextclick.pipeline.study import Study, Trial, import_optuna
from nextclick.pipeline.tables import write_csv
from nextclick.pipeline.trial import Judge, Parts, measure
from nextclick.space import OneOf, around, describe_space, parameters_at, point_of, without
from nextclick.training.config import checked_cutoff
from nextclick.training.interrupt import Interrupt
from nextclick.types import silent
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextclick.pipeline.study import Asked
    from nextclick.space import Space
    from nextclick.types import Progress

SCHEMA, KIND = "nextclick.study/1", "nextclick.study"
STUDY, BEST, NUMBERS, TABLE = "study.sqlite", "best.toml", "study.json", "trials.csv"
IMPORTANCE, HISTORY = "importance", "history"  # each as .png and .svg
_REPEATS = 20  # points in a row that had been tried before: the space holds little else
_HOPELESS = 10  # trials, none of which gave a figure


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to search, and for how long.

    Attributes:
        metric: what the validation is to be good at: recall@K, mrr@K or ndcg@K.
        preset: recipe of a neural model to begin with; None is its default.
        fixed: parameters that stay as they are said here.
        grid: parameter to the values to try, all combinations and nothing else; empty draws
            points from the space that the model declares.
        trials: how many at most, over all runs.
        budget: seconds for all trials together, over all runs.
        sessions: rank so many sessions of the validation, the same in all trials; None ranks all.
        seed: of the points, of that sample, and of everything random in each training.
        device: auto, cpu or cuda.
    """

    metric: str = "recall@20"
    preset: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    trials: int | None = None
    budget: float | None = None
    sessions: int | None = None
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study found.

    Attributes:
        path: its folder.
        numbers: what `study.json` says.
    """

    path: Path
    numbers: dict[str, Any]

    @property
    def recipe(self) -> Path:
        """The best recipe."""
        return self.path / BEST


def tune(
    store: Store | str | Path,
    model: str,
    output: str | Path,
    options: TuneOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Tuned:
    """Search parameters that validate well, learning from `fit`.

    The first trial is the preset itself, so that the best is never worse on the validation. The
    same call goes on with a study that was stopped or killed.

    Args:
        store: open, or its folder.
        model: name, as `nextclick models` lists them.
        output: folder of the study, new or of the same study.
        options: what to search, and for how long; at least one of trials, budget and grid.
        overwrite: begin anew where there is a study.
        progress: told trials, the best so far and what the current trial does; done is seconds of
            the budget, or trials.

    Raises:
        ConfigError: an option or parameter that does not fit, a package that is not installed,
            another study in the folder, or no trial that gave a figure.
        StoreError: the store cannot be read.
        OutputError: the folder holds something else or cannot be written.
        StoppedError: Ctrl-C; what was found so far is in the folder.
    """
    asked = options or TuneOptions()
    import_optuna()
    need_matplotlib("tune")
    opened = store if isinstance(store, Store) else Store.open(store)
    plan = _Plan.of(model, asked, opened)
    parts = Parts.of(opened, asked.sessions, asked.seed)
    work = plan.work | {"data_fingerprint": opened.fingerprint}
    folder = Path(output)
    with growing_folder(folder, KIND, work, overwrite=overwrite):
        prunes = plan.contender.neural and not asked.grid
        study = Study(folder / STUDY, plan.space, seed=asked.seed, prunes=prunes)
        try:
            search = _Search(plan, parts, study, folder, progress)
            stopped = search.run()
            trials = study.trials()
            _check_any(trials, stopped=stopped)
            about = work | {"protocol": opened.protocol["name"] or "own"}
            numbers = _numbers(plan, study, trials, about)
        finally:
            study.close()
        _write(folder, numbers, opened.path.resolve().name)
    if stopped:
        raise StoppedError(
            f"stopped after {len(trials)} trials; the study is kept in {folder}, its best recipe "
            f"so far in {folder / BEST}: say the same again to go on"
        )
    return Tuned(folder, numbers)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is searched, checked.

    Attributes:
        contender: the model.
        options: as asked.
        space: what points are drawn from; the first one lies in it.
        points: those that are tried before any is drawn: the preset, and with a grid all of it.
    """

    contender: Contender
    options: TuneOptions
    space: Space
    points: list[dict[str, Any]]

    @classmethod
    def of(cls, model: str, asked: TuneOptions, store: Store) -> _Plan:
        if not asked.grid and asked.trials is None and asked.budget is None:
            raise ConfigError(
                "how long may it search? say --budget 2h, --trials 50, or a grid such as "
                "--set NAME=a,b,c"
            )
        for name, limit in (("trials", asked.trials), ("budget", asked.budget)):
            if limit is not None and not limit > 0:
                raise ConfigError(f"{name} must be more than 0, got {limit}")
        checked_cutoff(asked.metric, len(store.items))
        if "metric" in asked.fixed or "metric" in asked.grid:
            raise ConfigError("metric is what trials are compared by; name it with --metric")
        contender = Contender(model, asked.preset, asked.fixed)
        if contender.neural:
            contender = Contender(model, asked.preset, {**asked.fixed, "metric": asked.metric})
        base = contender.parameters({})
        config, _ = contender.configs({})
        check_needs(contender.model, config, store)
        if asked.grid:
            grid = checked_grid(contender, asked.grid)
            space: Space = {name: OneOf(*values) for name, values in grid.items()}
        else:
            space = without(contender.space, asked.fixed)
        if not space:
            raise ConfigError(
                f"{model} has nothing to tune: "
                + ("all of its space is fixed by --set" if asked.fixed else "it has no parameters")
            )
        wide = around(space, base)
        first = point_of(wide, base)
        rest = grid_points(grid) if asked.grid else []
        return cls(contender, asked, wide, [first, *(one for one in rest if one != first)])

    @property
    def work(self) -> dict[str, Any]:
        """What makes it this study and no other."""
        asked = self.options
        return {
            "model": self.contender.name,
            "preset": asked.preset,
            "metric": asked.metric,
            "seed": asked.seed,
            "sessions": asked.sessions,
            "fixed": self.values({}),
            "grid": bool(asked.grid),
            "space": describe_space(self.space),
        }

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that are fixed, and those of a point."""
        typed = self.contender.parameters({})
        fixed = {name: typed[name] for name in self.contender.fixed}
        return fixed | parameters_at(self.space, point)


class _PrunedError(Exception):
    """Other trials were better after as many epochs."""


class _OutOfTimeError(Exception):
    """The budget ended in a trial."""


class _Search:
    """Tries points until trials, budget or points end."""

    def __init__(self, plan: _Plan, parts: Parts, study: Study, folder: Path, progress: Progress):
        self.plan = plan
        self.parts = parts
        self.study = study
        self.folder = folder
        self.progress = progress
        asked = plan.options
        self.judge = Judge(asked.metric, asked.seed, asked.device)
        self.trials = study.trials()
        self.spent = study.seconds()

    def run(self) -> bool:
        """Search; whether Ctrl-C ended it."""
        if best_of(self.trials) is not None:
            self._keep_best()
        with Interrupt() as self.interrupt:
            while not self._done():
                if self.interrupt.asked:
                    return True
                number = len(self.trials)
                points = self.plan.points
                asked = self.study.ask(points[number] if number < len(points) else None)
                twin = next((t for t in self.trials if t.point == asked.point), None)
                if twin is not None:
                    _repeat(asked, twin)
                elif not _Attempt(self, asked).run():
                    return True
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

    def __init__(self, search: _Search, asked: Asked):
        self.search = search
        self.asked = asked
        self.values = search.plan.values(asked.point)
        self.began = time.perf_counter()
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
        except (ConfigError, TrainingError, ScoringError, MemoryError) as error:
            asked.fail(f"{type(error).__name__}: {error}", self._seconds())
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            asked.fail(f"out of memory: {error}", self._seconds())
        else:
            asked.complete(value, self._seconds())
        return True

    def _seconds(self) -> float:
        return time.perf_counter() - self.began

    def _epoch(self, value: float) -> None:
        self.reached.append(value)
        if self.asked.report(value, self._seconds()):
            raise _PrunedError

    def _keeps_best(self) -> bool:
        """Whether a training that ends now has the figure of its best epoch so far."""
        _, training = self.search.plan.contender.configs(self.values)
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


def _repeat(asked: Asked, twin: Trial) -> None:
    """Note for a point what came of it before."""
    for value in twin.history:
        asked.report(value, 0.0)
    if twin.state == "complete":
        assert twin.value is not None
        asked.complete(twin.value, 0.0)
    elif twin.state == "pruned":
        asked.prune(0.0)
    else:
        asked.fail(twin.error or "", 0.0)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial of the largest value, the first of equals; None if there is none."""
    complete = [trial for trial in trials if trial.value is not None]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)


def _check_any(trials: Sequence[Trial], *, stopped: bool) -> None:
    if best_of(trials) is not None:
        return
    if stopped:
        raise StoppedError(
            "stopped before the first trial ended; nothing was found yet: say the same again to "
            "begin with it anew"
        )
    errors = [trial.error for trial in trials if trial.error] or ["no trial was complete"]
    raise ConfigError(f"no trial of {len(trials)} gave a figure; the first: {errors[0]}")


def _numbers(
    plan: _Plan, study: Study, trials: Sequence[Trial], about: Mapping[str, Any]
) -> dict[str, Any]:
    best = best_of(trials)
    assert best is not None
    rows = [
        {**asdict(trial), "parameters": parameters_at(plan.space, trial.point)} for trial in trials
    ]
    for row in rows:
        del row["point"]
    return {
        "schema": SCHEMA,
        "nextclick": __version__,
        **about,
        "states": {
            state: sum(trial.state == state for trial in trials)
            for state in ("complete", "pruned", "failed")
        },
        "search_seconds": study.seconds(),
        "default": trials[0].value,
        "best": {
            "trial": best.number,
            "value": best.value,
            "parameters": plan.values(best.point),
        },
        "importance": study.importance(),
        "trials": rows,
    }


def _write(folder: Path, numbers: dict[str, Any], name: str) -> None:
    from nextclick.analysis.study_figures import draw_history, draw_importance

    write_json(folder / NUMBERS, numbers)
    rows = [
        {
            **{column: row[column] for column in ("number", "state", "value", "seconds")},
            "epochs": len(row["history"]),
            **row["parameters"],
            "error": row["error"],
        }
        for row in numbers["trials"]
    ]
    write_csv(folder / TABLE, rows)
    title = f"{numbers['model']} on {name}: search on the validation part"
    subtitle = f"{len(rows)} trials, best {numbers['metric']} {numbers['best']['value']:.4f}"
    draws: dict[str, Callable[..., None]] = {IMPORTANCE: draw_importance, HISTORY: draw_history}
    for stem, draw in draws.items():
        for kind in ("png", "svg"):
            draw(numbers, folder / f"{stem}.{kind}", title=title, subtitle=subtitle)
