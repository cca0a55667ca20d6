"""The recipe that a search found, with the validation metrics that chose it as comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError, OutputError
from nextclick.experiments.recipe import Recipe, read_recipe, write_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.data.store import Store


def check_recipe_file(path: Path, model: str) -> None:
    """Check that a recipe may be written to a file: it is new, or a recipe of the same model.

    Raises:
        OutputError: it exists and is another file.
    """
    if not path.exists():
        return
    try:
        same = read_recipe(path).model == model
    except ConfigError:
        same = False
    if not same:
        raise OutputError(f"{path}: exists and is no recipe of {model}; choose another file")


def write_tuned_recipe(path: Path, numbers: Mapping[str, Any], store: Store) -> None:
    """Write the best trial of a study as a recipe.

    Args:
        path: the file.
        numbers: content of `study.json`.
        store: the store of the study.

    Raises:
        OutputError: the file cannot be written.
    """
    recipe = Recipe(
        numbers["model"], numbers["preset"], numbers["seed"], numbers["best"]["parameters"]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recipe(path, recipe, _comment(numbers, store))


def _comment(numbers: Mapping[str, Any], store: Store) -> str:
    trials, best, states = numbers["trials"], numbers["best"], numbers["states"]
    clicks = store.manifest["counts"]["train_inner"]["events"]
    sample = numbers["sessions"]
    ranked = "the validation part" if sample is None else f"{sample:,} sessions of it"
    lines = [
        (
            f"{numbers['model']} on {store.path.resolve().name}: the best of {len(trials)} trials "
            f"by {numbers['metric']} on {ranked}"
        ),
        f"this file, trial {best['trial']}: {_metrics(trials[best['trial']], numbers)}",
        f"the preset: {_metrics(trials[0], numbers)}",
        (
            f"search: {numbers['search_seconds']:,.0f} s, {states['complete']} trials complete, "
            f"{states['pruned']} stopped early, {states['failed']} failed"
        ),
        (
            f"store: {len(store.items):,} items, {clicks:,} clicks before the validation, protocol "
            f"{numbers['protocol']}, fingerprint {numbers['data_fingerprint']}"
        ),
        f"nextclick {numbers['nextclick']}",
    ]
    return "\n".join(lines)


def _metrics(trial: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    if trial["value"] is None:
        return "no result"
    metrics = trial["metrics"] or {numbers["metric"]: trial["value"]}
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
