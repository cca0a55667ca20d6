"""Tune the hyperparameters of a model on the validation part; the test part is never used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nextclick.core.storage import write_csv, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, InterruptedRunError
from nextclick.experiments.requirements import require_matplotlib
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.search_plan import SearchPlan
from nextclick.experiments.tracking.logged_results import LoggedStudy
from nextclick.experiments.tracking.tracked_run import tracked_run
from nextclick.experiments.tuned_recipe import check_recipe_file, write_tuned_recipe
from nextclick.experiments.validation_objective import ValidationObjective
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import Progress

SCHEMA, KIND = "nextclick.study/1", "nextclick.study"
STUDY, NUMBERS, TABLE, BEST = "study.sqlite", "study.json", "trials.csv", "best.toml"
IMPORTANCE, HISTORY = "importance", "history"  # each as .png and .svg
_FIGURES = [f"{name}.{suffix}" for name in (IMPORTANCE, HISTORY) for suffix in ("png", "svg")]
_OUTPUTS = (STUDY, f"{STUDY}-journal", NUMBERS, TABLE, BEST, *_FIGURES)


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The outcome of a search.

    Attributes:
        path: its folder.
        numbers: content of `study.json`.
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
    recipe: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> TuningResult:
    """Search for the hyperparameters with the best metric on the validation part.

    Each trial trains on `train_inner`. The first trial is the preset, so that the best trial is at
    least as good on the validation part. The same call resumes an interrupted search.

    Args:
        store: a store or its folder.
        model: a name that `nextclick models` lists.
        output: folder of the study, new or of the same study.
        options: what is searched, and for how long; trials, budget or grid is required.
        recipe: file that also gets the best recipe when the search has finished; it is new, or a
            recipe of the same model, which is replaced.
        overwrite: replace an existing study.
        progress: receives the number of trials, the best value and the stage of the current trial,
            in seconds of the budget or in trials.

    Raises:
        ConfigError: an invalid option or parameter, a package is not installed, the folder holds
            another study, or no trial succeeded.
        StoreError: the store cannot be read.
        OutputError: the folder or the file of the recipe holds something else or cannot be written.
        InterruptedRunError: Ctrl-C; the trials so far are in the folder.
    """
    options = options or TuneOptions()
    _need_optuna()
    require_matplotlib("tune")
    if recipe is not None:
        check_recipe_file(Path(recipe), model)
    store = store if isinstance(store, Store) else Store.open(store, progress)
    plan = SearchPlan.create(model, options, store)
    objective = ValidationObjective.create(plan, store)
    folder, scope = Path(output), plan.scope | {"data_fingerprint": store.fingerprint}
    with (
        RunCache.locked(folder, KIND, scope, outputs=_OUTPUTS, overwrite=overwrite),
        tracked_run(options.track, f"tune {model}") as tracked,
    ):
        log = LoggedStudy(tracked, plan.options.metric)
        summary, finished = _search(plan, objective, folder, log, progress)
        numbers = {
            "schema": SCHEMA,
            "nextclick": __version__,
            **scope,
            "protocol": store.protocol["name"] or "own",
            **summary,
        }
        _write(folder, numbers, store.path.resolve().name)
        write_tuned_recipe(folder / BEST, numbers, store)
        log.log_study(TuningResult(folder, numbers))
    if not finished:
        raise InterruptedRunError(
            f"stopped after {len(numbers['trials'])} trials; the study is kept in {folder}, with "
            f"the best recipe so far in {folder / BEST}: rerun the same command to continue"
        )
    if recipe is not None:
        write_tuned_recipe(Path(recipe), numbers, store)
    return TuningResult(folder, numbers)


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"tune requires Optuna, which is not installed ({error}); "
            "`pip install 'nextclick[tune]'`"
        ) from error


def _search(
    plan: SearchPlan,
    objective: ValidationObjective,
    folder: Path,
    log: LoggedStudy,
    progress: Progress,
) -> tuple[dict[str, Any], bool]:
    """Run the trials; return their summary, and whether the search finished."""
    # these modules import optuna
    from nextclick.experiments.hyperparameter_search import Search
    from nextclick.experiments.tuning_study import (
        importance,
        open_study,
        total_seconds,
        trial_rows,
    )

    prune = plan.candidate.neural and not plan.options.grid
    with open_study(folder / STUDY, prune=prune) as study:
        search = Search(plan, objective, study, folder / BEST, log.log_trial, progress)
        finished = search.run()
        trials = trial_rows(study, plan.space)
        complete = [trial for trial in trials if trial["state"] == "complete"]
        if not complete:
            _refuse_no_value(trials, finished=finished)
        best = max(complete, key=lambda trial: trial["value"])
        states = Counter(trial["state"] for trial in trials)
        summary = {
            "states": {state: states[state] for state in ("complete", "pruned", "failed")},
            "search_seconds": total_seconds(study),
            "preset_value": trials[0]["value"],
            "best": {
                "trial": best["number"],
                "value": best["value"],
                "parameters": plan.parameters({}) | best["parameters"],
            },
            "importance": importance(study),
            "trials": trials,
        }
    return summary, finished


def _refuse_no_value(trials: Sequence[dict[str, Any]], *, finished: bool) -> NoReturn:
    if not finished:
        raise InterruptedRunError(
            "stopped before the first trial finished; rerun the same command to start again"
        )
    errors = [trial["error"] for trial in trials if trial["error"]] or ["no trial was complete"]
    raise ConfigError(f"none of {len(trials)} trials succeeded; the first error: {errors[0]}")


def _write(folder: Path, numbers: dict[str, Any], store_name: str) -> None:
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
    _draw(folder, numbers, store_name)


def _draw(folder: Path, numbers: dict[str, Any], store_name: str) -> None:
    # importing matplotlib takes a second
    from nextclick.analysis.plots.tuning_plots import draw_history, draw_importance

    title = f"{numbers['model']} on {store_name}: search on the validation part"
    best = numbers["best"]["value"]
    subtitle = f"{len(numbers['trials'])} trials, best {numbers['metric']} {best:.4f}"
    figures: dict[str, Callable[..., None]] = {IMPORTANCE: draw_importance, HISTORY: draw_history}
    for name, draw in figures.items():
        for suffix in ("png", "svg"):
            draw(numbers, folder / f"{name}.{suffix}", title=title, subtitle=subtitle)
