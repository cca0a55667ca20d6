"""Train several models on one store, measure each once, and put them in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.data.store import Store
from nextclick.errors import ConfigError
from nextclick.folders import whole_folder
from nextclick.models import CLASSICAL, MODELS, model_class
from nextclick.pipeline.evaluate import DEFAULT_KS, evaluate
from nextclick.pipeline.train import train
from nextclick.types import silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nextclick.evaluation import RankingProtocol, Result
    from nextclick.types import Progress


def compare(
    store: Store | str | Path,
    models: Sequence[str] = tuple(CLASSICAL),
    *,
    output: str | Path | None = None,
    part: str = "test",
    ks: Sequence[int] = DEFAULT_KS,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Iterable[int] = (0,),
    protocol: RankingProtocol | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Result]:
    """Train and measure models under the same conditions.

    Args:
        store: open, or its folder.
        models: names; unknown ones are refused before anything is trained.
        output: folder for `MODEL/artifact` and `MODEL/result.json`; None keeps nothing.
        part: `test` trains on all before it, `valid` on what lies before the validation.
        ks: the cut-offs K.
        configs: model name to the parameters that differ from their defaults.
        seeds: each model is trained once for each.
        protocol: how ranks are counted; None follows the store.
        overwrite: replace `output`.
        progress: told how far it has come.

    Returns:
        One result for each model and seed; `leaderboard` makes the table.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    check_names(models)
    runs = [(name, seed) for name in models for seed in seeds]

    def measure(folder: Path | None) -> list[Result]:
        results = []
        for name, seed in runs:
            place = None if folder is None else folder / (f"{name}-{seed}" if seed else name)
            artifact = train(
                opened,
                name,
                config=(configs or {}).get(name),
                part="fit" if part == "valid" else "train",
                seed=seed,
                progress=_named(progress, f"train {name}"),
            )
            if place is not None:
                artifact.save(place / "artifact")
            result = evaluate(
                artifact,
                opened,
                part=part,
                ks=ks,
                protocol=protocol,
                progress=_named(progress, f"evaluate {name}"),
            )
            if place is not None:
                result.write(place / "result.json")
            results.append(result)
        return results

    if output is None:
        return measure(None)
    with whole_folder(Path(output), overwrite=overwrite) as folder:
        return measure(folder)


def check_names(models: Sequence[str]) -> None:
    """Refuse an empty list of models, an unknown name, and one that is there twice.

    Raises:
        ConfigError: one of these.
    """
    if not models:
        raise ConfigError(f"models must name at least one of {', '.join(MODELS)}, got none")
    for name in models:
        model_class(name)
        if list(models).count(name) > 1:
            raise ConfigError(f"models must name each model once, got {name} twice")


def _named(progress: Progress, name: str) -> Progress:
    def told(stage: str, done: int, total: int | None) -> None:
        del stage
        progress(name, done, total)

    return told
