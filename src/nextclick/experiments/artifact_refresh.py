"""Update a trained model with a newer log, and publish it unless it is worse."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.types import silent
from nextclick.data.options import ReadOptions
from nextclick.experiments.model_update import ModelUpdate, reindexed
from nextclick.experiments.newer_items import NewerItems
from nextclick.experiments.publish_check import decide_publication, n_held_out
from nextclick.experiments.refresh_destination import RefreshDestination
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.artifact import Artifact, ModelVersion
    from nextclick.core.types import Progress
    from nextclick.data.increment import Overlap
    from nextclick.data.options import ItemOptions, PrepareOptions
    from nextclick.data.store import Store
    from nextclick.experiments.publish_check import PublishDecision


@dataclass(frozen=True, slots=True, eq=False)
class RefreshResult:
    """The outcome of a refresh.

    Attributes:
        accepted: whether the refreshed model passed the publish check.
        artifact: the refreshed model; a rejected one is not trained on the held-out sessions.
        path: its folder or address; None if it was not written.
        version: its version in the registry; None without a registry.
        decision: the outcome of the publish check; None if nothing was held out.
        report: counts of the new log, and how the model was updated.
        warnings: about the new log.
        seconds: wall time.
    """

    accepted: bool
    artifact: Artifact
    path: str | Path | None
    version: ModelVersion | None
    decision: PublishDecision | None
    report: dict[str, Any]
    warnings: list[str]
    seconds: float


def refresh(
    artifact: Artifact | str | Path,
    log: Any,
    output: str | Path | None = None,
    *,
    options: PrepareOptions | None = None,
    publish_check: PublishCheckOptions | None = None,
    fine_tune: FineTuneOptions | None = None,
    store: Store | str | Path | None = None,
    items: ItemOptions | None = None,
    overlap: Overlap = "whole",
    until: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> RefreshResult:
    """Update a model with a newer log.

    A counting model becomes the model of both logs. A model with a temporal item graph advances
    block by block through the new log; a neural one is also trained on each block with the graph of
    the blocks before it. Every other model is trained further on the new sessions. New items get
    rows before the training.

    Args:
        artifact: an artifact, its folder, or a registry, whose current version is refreshed.
        log: a path, folder, glob, frame, or a list of these, newer than the model's training log;
            or a `ClickSource`.
        output: folder of the new artifact, or a registry to publish in. None publishes in the
            registry that `artifact` is, or else writes nothing.
        options: how the log is read; None reads it as the store was prepared.
        publish_check: the check that the refreshed model must pass to be published.
        fine_tune: how a model without an exact update is trained on the new sessions.
        store: the store of the first training, for older sessions that the artifact lacks.
        items: a newer item table, with the columns of that of the model. New items of a model with
            features begin with the vectors of their features. None keeps the table of the model.
        overlap: "whole" or "cut", see `read_increment`.
        until: the time until which the log is complete, ISO 8601 or milliseconds since the epoch;
            None is its last click. A block of time that ends later stays open.
        overwrite: replace `output`.
        progress: receives the progress of each stage.

    Raises:
        SourceError: the log cannot be read, is not newer, or has no known item.
        ArtifactError: the artifact lacks data that a refresh needs.
        ConfigError: an option does not apply to the model or the log.
        OutputError: the output exists or cannot be written.
        TrainingError: a weight is not finite.
        InterruptedRunError: Ctrl-C.
    """
    start = time.perf_counter()
    destination = RefreshDestination.resolve(artifact, output, overwrite=overwrite)
    base, publish_check = destination.base, publish_check or PublishCheckOptions()
    update = ModelUpdate.create(base, fine_tune or FineTuneOptions(), store, progress)
    if items is not None and items.source is not None:
        read = ReadOptions() if options is None else options.read
        update = replace(update, newer_items=NewerItems.read(base, items, read))
    increment = update.read_log(log, options, overlap, until)
    n_sessions = len(increment.sessions)
    n_held = n_held_out(n_sessions, publish_check.holdout)
    n_first = n_sessions - n_held
    first_share = n_first / (n_first + n_sessions) if n_held else 0.0  # of the training time
    decision = None
    if n_held:
        refreshed = update.build(increment, n_first, first_share)
        held_out = increment.sessions.slice(n_first, n_sessions)
        decision = decide_publication(
            (base, reindexed(base, held_out, increment)),
            (refreshed, reindexed(refreshed, held_out, increment)),
            publish_check,
            progress=progress,
        )
    accepted = decision is None or decision.reason is None
    if accepted:
        refreshed = update.build(increment, n_sessions, 1.0 - first_share)
    seconds = time.perf_counter() - start
    refreshed.trained["refreshes"][-1] |= {
        "decision": None if decision is None else asdict(decision),
        "seconds": seconds,
    }
    if "stream" in increment.report:
        refreshed.trained["refreshes"][-1]["stream"] = increment.report["stream"]
    path, version = destination.write(refreshed, decision)
    return RefreshResult(
        accepted=accepted,
        artifact=refreshed,
        path=path,
        version=version,
        decision=decision,
        report=increment.report | refreshed.trained["refreshes"][-1],
        warnings=increment.warnings,
        seconds=seconds,
    )
