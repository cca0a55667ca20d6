"""Score an artifact on the part of the store that it has not seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError
from nextclick.evaluation import RankingProtocol, Result
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.evaluation.rank_store import RankStore
from nextclick.experiments.reindex import sessions_for
from nextclick.training.training_config import result_affecting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress

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
        store: the one it was trained on, open or its folder; for a refreshed model one whose
            part is newer than all that it has learned from.
        part: `test`, or `valid` for a model trained on `train_inner`.
        ks: the cut-offs K.
        protocol: how ranks are counted; None follows the store in what it does with targets
            unseen in training, and counts ties against the model.
        prequential: a model that keeps a graph of days takes in each block of the part before the
            next one is asked about; else it answers with what it knew when its training ended.
        n_bootstrap: resamples behind the intervals.
        label: what tables call the model; None is its name.
        progress: told how far it has come.

    Raises:
        ArtifactError: the model was trained on another store, or, refreshed, has seen the part.
        ConfigError: the model has seen the part in training, a value is out of range, or
            `prequential` of a model that takes in nothing.
    """
    result, _ = evaluate_each(
        artifact,
        store,
        part=part,
        ks=ks,
        protocol=protocol,
        prequential=prequential,
        n_bootstrap=n_bootstrap,
        label=label,
        progress=progress,
    )
    return result


def evaluate_each(
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
) -> tuple[Result, RankStore]:
    """Do as `evaluate`, and also give the rank of every target."""
    trained = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    opened = store if isinstance(store, Store) else Store.open(store)
    sessions = _sessions(trained, opened, part)
    rules = protocol or store_protocol(opened)
    model = trained.model
    history = None
    # a graph that is kept holds the validation part
    anew = part == "valid" and model.capabilities.update == "by-block"
    if prequential or anew:
        before = _indexed(trained, opened, "train_inner" if part == "valid" else "train")
        history = before.as_known(trained.support)
        if anew:
            model = model.with_history(history)
    found = rank_and_measure(
        model,
        sessions.as_known(trained.support),
        ks=ks,
        protocol=rules,
        support=trained.support,
        history=history if prequential else None,
        n_bootstrap=n_bootstrap,
        progress=progress,
    )
    result = Result(
        model=trained.model.name,
        label=label or trained.model.name,
        config=_parameters(trained),
        seed=int(trained.trained["seed"]),
        data_fingerprint=opened.fingerprint,
        protocol={
            **asdict(rules),
            "part": part,
            "trained_on": learned_from(trained),
            "data": opened.protocol["name"] or "own",
        },
        evaluation=found.to_json() | {"training_seconds": trained.trained["seconds"]},
        leaky=trained.model.capabilities.leaky,
        prequential=prequential,
    )
    return result, RankStore.of(found)


def store_protocol(store: Store) -> RankingProtocol:
    """Targets unseen in training are misses where the store kept them; ties rank last."""
    kept = store.protocol["split"]["unseen"] != "drop"
    return RankingProtocol(unseen="keep" if kept else "drop")


def learned_from(artifact: Artifact) -> str:
    """The part that a model was trained on, and how often it was refreshed since."""
    part, n = artifact.trained["part"], len(artifact.trained.get("refreshes", []))
    return f"{part}, refreshed {n} times" if n else str(part)


def _parameters(artifact: Artifact) -> dict[str, Any]:
    """Those of the model, and of its training as far as they change what is learned."""
    return asdict(artifact.model.config) | result_affecting(artifact.trained.get("training", {}))


def _sessions(artifact: Artifact, store: Store, part: str) -> Sessions:
    """The part in the indices of the model, if it may be ranked."""
    if not _is_refreshed(artifact):
        _check_fit(artifact, store, part)
        return _indexed(artifact, store, part)
    sessions, last_ms = store.part(part), int(artifact.trained["last_ms"])
    ends = np.zeros(0) if sessions.times is None else sessions.times[sessions.offsets[1:] - 1]
    if len(ends) == 0 or int(ends.min()) <= last_ms:
        raise ArtifactError(
            f"the model was refreshed with clicks up to {last_ms} ms since the epoch, and sessions "
            f"of part {part} of {store.path} ended before: the metrics would be biased; evaluate "
            "on a store with a later test part"
        )
    return _indexed(artifact, store, part)


def _indexed(artifact: Artifact, store: Store, part: str) -> Sessions:
    """A part in the indices of the model, which a refresh may have moved."""
    return sessions_for(artifact, store, part) if _is_refreshed(artifact) else store.part(part)


def _is_refreshed(artifact: Artifact) -> bool:
    return "refreshes" in artifact.trained


def _check_fit(artifact: Artifact, store: Store, part: str) -> None:
    of_model = artifact.trained["data_fingerprint"]
    if of_model != store.fingerprint:
        raise ArtifactError(
            f"the model was trained on data {of_model}, the store {store.path} holds data "
            f"{store.fingerprint}; train on this store, or name the other one"
        )
    if part not in ("test", "valid"):
        raise ConfigError(f"part must be test or valid to be ranked, got {part!r}")
    if part == "valid" and artifact.trained["part"] != "train_inner":
        raise ConfigError(
            "part valid: the model was trained on it, so the metrics would be biased; "
            "train with --train-on inner to select on the validation split"
        )
