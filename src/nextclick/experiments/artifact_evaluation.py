"""Evaluate an artifact on a part of a store that the model was not trained on."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact
from nextclick.artifact.registries import artifact_folder
from nextclick.core.processes import current, joined_processes
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError
from nextclick.evaluation import RankingProtocol, Result
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.evaluation.rank_store import RankStore
from nextclick.experiments.block_history import begins_with_block, with_blocks
from nextclick.experiments.reindex import sessions_for
from nextclick.experiments.store_segments import segmentations_for
from nextclick.training.training_config import result_affecting
from nextclick.version import code_digest

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
    by: Sequence[str] = (),
    prequential: bool = False,
    n_bootstrap: int = 1000,
    label: str | None = None,
    shard_items: bool = False,
    progress: Progress = silent,
) -> Result:
    """Measure a model under one protocol that does not leak.

    Started by torchrun, the processes share the prefixes, and all return the joint result.

    Args:
        artifact: an artifact, its folder, or a registry, whose current version is evaluated.
        store: the store the model was trained on, or its folder; for a refreshed model, a store
            whose part is newer than all clicks the model was trained on.
        part: `test`, or `valid` for a model trained on `train_inner`.
        ks: the cut-offs K.
        protocol: how ranks are counted, and which items may be recommended; None counts ties
            against the model, treats targets unseen in training as the store does, and has no
            rules.
        by: segmentations whose metrics are reported as well; see `segmentations_for`.
        prequential: a model with a temporal item graph adds each block of the part to it before
            the next block is ranked; otherwise its graph ends with the training.
        n_bootstrap: resamples of the intervals.
        label: name of the model in tables; None is the name of the model class.
        shard_items: split the rows of the item tables over the processes, for a catalog that is too
            large for one. Item rules are then not supported.
        progress: receives the progress of the ranking.

    Raises:
        ArtifactError: the model was trained on another store, or a refreshed model was trained
            on the part.
        ConfigError: the model was trained on the part, a value is out of range, or `prequential`
            is set for a model that is not updated by block.
    """
    result, _ = evaluate_with_ranks(
        artifact,
        store,
        part=part,
        ks=ks,
        protocol=protocol,
        by=by,
        prequential=prequential,
        n_bootstrap=n_bootstrap,
        label=label,
        shard_items=shard_items,
        progress=progress,
    )
    return result


def evaluate_with_ranks(
    artifact: Artifact | str | Path,
    store: Store | str | Path,
    *,
    part: str = "test",
    ks: Sequence[int] = DEFAULT_KS,
    protocol: RankingProtocol | None = None,
    by: Sequence[str] = (),
    prequential: bool = False,
    n_bootstrap: int = 1000,
    label: str | None = None,
    shard_items: bool = False,
    progress: Progress = silent,
) -> tuple[Result, RankStore]:
    """Evaluate as `evaluate` does, and also return the rank of every target."""
    with joined_processes() as processes:
        artifact, store, sessions = processes.agree(
            lambda: _open_inputs(artifact, store, part, shard_items, progress)
        )
        protocol = protocol or store_protocol(store)
        if processes.are_several:
            processes.check_equal(
                {
                    "the digest of the code": code_digest(),
                    "--shard-items": shard_items,
                    "the fingerprint of the store": store.fingerprint,
                    "the digest of the model": _digest(artifact),
                    "the part": part,
                    "the list of cut-offs": list(ks),
                    "the protocol": protocol.to_json(),
                }
            )
        model = artifact.model
        history = None
        # the graph in the artifact contains the validation part
        rebuild_graph = part == "valid" and model.capabilities.update == "by-block"
        if prequential or rebuild_graph:
            earlier = _model_part(artifact, store, "train_inner" if part == "valid" else "train")
            history = earlier.mask_unseen_items(artifact.known_items)
            if rebuild_graph:
                model = with_blocks(model, history, is_over=begins_with_block(sessions, history))
        evaluation = rank_and_measure(
            model,
            sessions.mask_unseen_items(artifact.known_items),
            ks=ks,
            protocol=protocol,
            support=artifact.support,
            history=history if prequential else None,
            items=artifact.items,
            candidates=artifact.candidates,
            item_table=artifact.item_table,
            segmentations=segmentations_for(
                store, by, part=part, trained_on=artifact.trained["part"], support=artifact.support
            ),
            n_bootstrap=n_bootstrap,
            progress=progress,
        )
        result = Result(
            model=artifact.model.name,
            label=label or artifact.model.name,
            config=_parameters(artifact),
            seed=int(artifact.trained["seed"]),
            data_fingerprint=store.fingerprint,
            protocol={
                **protocol.to_json(),
                "part": part,
                "trained_on": training_data(artifact),
                "data": store.protocol["name"] or "own",
                "filter_on": store.protocol["filters"].get("filter_on", "all"),
            },
            evaluation=evaluation.to_json()
            | {
                "training_seconds": artifact.trained["seconds"],
                "predicted": _predicted_share(store, part, evaluation.counts.prefixes),
            },
            leaky=artifact.model.capabilities.leaky,
            prequential=prequential,
        )
        return result, RankStore.from_evaluation(evaluation)


def _open_inputs(
    artifact: Artifact | str | Path,
    store: Store | str | Path,
    part: str,
    shard_items: bool,
    progress: Progress,
) -> tuple[Artifact, Store, Sessions]:
    """The artifact, the store, and the part in the item indices of the model."""
    processes = current()
    if shard_items:
        processes.check_several("--shard-items")
    if not isinstance(artifact, Artifact):
        artifact = Artifact.load(artifact_folder(artifact), processes if shard_items else None)
    store = store if isinstance(store, Store) else Store.open(store, progress)
    return artifact, store, _rankable_part(artifact, store, part)


def _digest(artifact: Artifact) -> str:
    """A digest of the arrays of a model, or of their file if each process has some of the rows."""
    if artifact.model.shards is not None:
        return artifact.model.shards.digest
    digest = blake2b(digest_size=8)
    for name, array in sorted(artifact.model.state().items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def store_protocol(store: Store) -> RankingProtocol:
    """The default protocol: ties rank last; unseen targets are misses if the store has them."""
    return RankingProtocol(unseen="drop" if store.protocol["split"]["unseen"] == "drop" else "miss")


def _predicted_share(store: Store, part: str, n_targets: int) -> dict[str, Any] | None:
    """The share of the clicks of the test period that are targets, None if it was not counted."""
    predicted = store.manifest.get("predicted")
    if part != "test" or predicted is None:
        return None
    n_clicks = predicted["clicks"]
    return {"targets": n_targets, "clicks": n_clicks, "share": n_targets / n_clicks}


def training_data(artifact: Artifact) -> str:
    """The part that a model was trained on, and the number of its refreshes."""
    part, n = artifact.trained["part"], len(artifact.trained.get("refreshes", []))
    return f"{part}, refreshed {n} times" if n else str(part)


def _parameters(artifact: Artifact) -> dict[str, Any]:
    """The parameters of the model, and those of its training that affect the result."""
    return asdict(artifact.model.config) | result_affecting(artifact.trained.get("training", {}))


def _rankable_part(artifact: Artifact, store: Store, part: str) -> Sessions:
    """A part in the item indices of the model, which was not trained on it.

    Raises:
        ArtifactError, ConfigError: as `evaluate`.
    """
    if not _is_refreshed(artifact):
        _check_part(artifact, store, part)
        return _model_part(artifact, store, part)
    sessions, last_ms = store.part(part), int(artifact.trained["last_ms"])
    ends = np.zeros(0) if sessions.times is None else sessions.times[sessions.offsets[1:] - 1]
    if len(ends) == 0 or int(ends.min()) <= last_ms:
        raise ArtifactError(
            f"the model was refreshed with clicks up to {last_ms} ms since the epoch, and sessions "
            f"of part {part} of {store.path} ended before: the metrics would be biased; evaluate "
            "on a store with a later test part"
        )
    return _model_part(artifact, store, part)


def _model_part(artifact: Artifact, store: Store, part: str) -> Sessions:
    """A part in the item indices of the model, which a refresh may have changed."""
    return sessions_for(artifact, store, part) if _is_refreshed(artifact) else store.part(part)


def _is_refreshed(artifact: Artifact) -> bool:
    return "refreshes" in artifact.trained


def _check_part(artifact: Artifact, store: Store, part: str) -> None:
    model_fingerprint = artifact.trained["data_fingerprint"]
    if model_fingerprint != store.fingerprint:
        raise ArtifactError(
            f"the model was trained on data {model_fingerprint}, the store {store.path} holds data "
            f"{store.fingerprint}; train on this store, or name the other one"
        )
    if part not in ("test", "valid"):
        raise ConfigError(f"part must be test or valid to be ranked, got {part!r}")
    if part == "valid" and artifact.trained["part"] != "train_inner":
        raise ConfigError(
            "part valid: the model was trained on it, so the metrics would be biased; "
            "train with --train-on inner to select on the validation split"
        )
