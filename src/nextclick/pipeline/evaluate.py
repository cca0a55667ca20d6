"""Score an artefact on the part of the store that it has not seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError
from nextclick.evaluation import RankingProtocol, Result
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.types import silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.types import Progress

DEFAULT_KS = (5, 10, 20)


def evaluate(
    artifact: Artifact | str | Path,
    store: Store | str | Path,
    *,
    part: str = "test",
    ks: Sequence[int] = DEFAULT_KS,
    protocol: RankingProtocol | None = None,
    prequential: bool = False,
    n_bootstrap: int = 1000,
    label: str | None = None,
    progress: Progress = silent,
) -> Result:
    """Measure a model under one protocol that does not leak.

    Args:
        artifact: loaded, or its folder.
        store: the one it was trained on, open or its folder.
        part: `test`, or `valid` for a model trained on `fit`.
        ks: the cut-offs K.
        protocol: how ranks are counted; None follows the store in what it does with targets
            unseen in training, and counts ties against the model.
        prequential: a model that keeps a graph of days takes in each block of the part before the
            next one is asked about; else it answers with what it knew when its training ended.
        n_bootstrap: resamples behind the intervals.
        label: what tables call the model; None is its name.
        progress: told how far it has come.

    Raises:
        ArtifactError: the model was trained on another store.
        ConfigError: the model has seen the part in training, a value is out of range, or
            `prequential` of a model that takes in nothing.
    """
    trained = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    opened = store if isinstance(store, Store) else Store.open(store)
    _check_fit(trained, opened, part)
    rules = protocol or store_protocol(opened)
    model: Any = trained.model
    history = None
    # a graph that is kept holds the validation part
    anew = part == "valid" and getattr(model, "advances", False)
    if prequential or anew:
        history = opened.part("fit" if part == "valid" else "train").as_known(trained.support)
    if anew:
        model = model.knowing(history)
    found = rank_and_measure(
        model,
        opened.part(part).as_known(trained.support),
        ks=ks,
        protocol=rules,
        support=trained.support,
        history=history if prequential else None,
        n_bootstrap=n_bootstrap,
        progress=progress,
    )
    return Result(
        model=trained.model.name,
        label=label or trained.model.name,
        config=asdict(trained.model.config),
        seed=int(trained.trained["seed"]),
        data_fingerprint=opened.fingerprint,
        protocol={
            **asdict(rules),
            "part": part,
            "trained_on": trained.trained["part"],
            "data": opened.protocol["name"] or "own",
        },
        evaluation=found.to_json() | {"training_seconds": trained.trained["seconds"]},
        leaky=getattr(trained.model, "leaky", None),
        prequential=prequential,
    )


def store_protocol(store: Store) -> RankingProtocol:
    """Targets unseen in training are misses where the store kept them; ties rank last."""
    kept = store.protocol["split"]["unseen"] != "drop"
    return RankingProtocol(unseen="keep" if kept else "drop")


def _check_fit(artifact: Artifact, store: Store, part: str) -> None:
    of_model = artifact.trained["data_fingerprint"]
    if of_model != store.fingerprint:
        raise ArtifactError(
            f"the model was trained on data {of_model}, the store {store.path} holds data "
            f"{store.fingerprint}; train on this store, or name the other one"
        )
    if part not in ("test", "valid"):
        raise ConfigError(f"part must be test or valid to be ranked, got {part!r}")
    if part == "valid" and artifact.trained["part"] != "fit":
        raise ConfigError(
            "part valid: the model was trained on it, so the figures would be a lie; "
            "train with --part fit to choose on validation"
        )
