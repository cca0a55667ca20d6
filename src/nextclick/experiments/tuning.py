"""Search a model's parameters on the validation part; the test is not looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.search_space import parameters_at
from nextclick.core.storage import write_csv, write_json
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, StoppedError
from nextclick.experiments.hyperparameter_search import BEST, Search, best_of
from nextclick.experiments.optuna_study import Study, Trial, import_optuna
from nextclick.experiments.requirements import need_matplotlib
from nextclick.experiments.resumable_folder import growing_folder
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.search_plan import Plan
from nextclick.experiments.trial import Parts
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextclick.core.types import Progress

SCHEMA, KIND = "nextclick.study/1", "nextclick.study"
STUDY, NUMBERS, TABLE = "study.sqlite", "study.json", "trials.csv"
IMPORTANCE, HISTORY = "importance", "history"  # each as .png and .svg


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
    """Search parameters that validate well, training on `train_inner`.

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
    plan = Plan.of(model, asked, opened)
    parts = Parts.of(opened, asked.sessions, asked.seed)
    work = plan.work | {"data_fingerprint": opened.fingerprint}
    folder = Path(output)
    with growing_folder(folder, KIND, work, overwrite=overwrite):
        prunes = plan.contender.neural and not asked.grid
        study = Study(folder / STUDY, plan.space, seed=asked.seed, prunes=prunes)
        try:
            search = Search(plan, parts, study, folder, progress)
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
    plan: Plan, study: Study, trials: Sequence[Trial], about: Mapping[str, Any]
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
    _draw(folder, numbers, name)


def _draw(folder: Path, numbers: dict[str, Any], name: str) -> None:
    # matplotlib takes a second to import
    from nextclick.analysis.plots.tuning_plots import draw_history, draw_importance

    title = f"{numbers['model']} on {name}: search on the validation part"
    subtitle = (
        f"{len(numbers['trials'])} trials, best {numbers['metric']} {numbers['best']['value']:.4f}"
    )
    draws: dict[str, Callable[..., None]] = {IMPORTANCE: draw_importance, HISTORY: draw_history}
    for stem, draw in draws.items():
        for kind in ("png", "svg"):
            draw(numbers, folder / f"{stem}.{kind}", title=title, subtitle=subtitle)
