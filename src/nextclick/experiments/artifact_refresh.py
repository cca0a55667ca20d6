"""Take a new log into a trained model, look whether it got worse, and publish it if not."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact, ModelVersion, Registry
from nextclick.artifact.version_registry import is_registry
from nextclick.core.types import silent
from nextclick.data.increment import LogIncrement, PriorLog, options_of, read_increment
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError, OutputError
from nextclick.experiments.incremental_training import (
    check_blocks,
    continued_training,
    is_trained,
    refresh_strategy,
)
from nextclick.experiments.publish_check import Verdict, held_out, judge
from nextclick.experiments.refresh_options import GateOptions, TuningOptions
from nextclick.experiments.reindex import sessions_for
from nextclick.models.incremental_state import PriorSessions, scatter_rows

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.increment import Overlap
    from nextclick.data.options import PrepareOptions
    from nextclick.models.base import Model, Update


_WAYS = {"exact": "extended", "by-block": "advanced", "fine-tune": "tuned"}  # in reports


@dataclass(frozen=True, slots=True, eq=False)
class Refreshed:
    """What a refresh came to.

    Attributes:
        accepted: whether it passed the gate.
        artifact: the refreshed model; one that was kept aside has not learned from what was held
            out.
        path: where it is; None if it was kept in memory only.
        version: that of the registry, None without one.
        verdict: what the gate found, None if nothing was held out.
        report: what was read, learned and left out.
        warnings: sentences for people.
        seconds: wall time.
    """

    accepted: bool
    artifact: Artifact
    path: Path | None
    version: ModelVersion | None
    verdict: Verdict | None
    report: dict[str, Any]
    warnings: list[str]
    seconds: float


def refresh(
    artifact: Artifact | str | Path,
    log: Any,
    output: str | Path | None = None,
    *,
    options: PrepareOptions | None = None,
    gate: GateOptions | None = None,
    tuning: TuningOptions | None = None,
    store: Store | str | Path | None = None,
    overlap: Overlap = "whole",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Refreshed:
    """Go on learning from a newer log.

    Models that count become what they would be had they learned from both logs at once. Models
    with a graph in time advance by the blocks of the new log, and are trained on each with the
    graph before it. All others are trained on. Training is for a bounded time, with rows for the
    new items.

    Args:
        artifact: loaded, its folder, or a registry, of which the current version is meant.
        log: a path, folder, glob, frame, or a list of these; newer than what the model has seen.
        output: a folder for a new artifact, or a registry to publish in. None is the registry that
            `artifact` is, or memory only.
        options: how to read the log; None is as the store was prepared.
        gate: what the refreshed model has to pass.
        tuning: how a model that cannot be extended exactly is trained on.
        store: the one the model was trained on, for older sessions that the artifact lacks.
        overlap: "whole" or "cut", see `read_increment`.
        overwrite: replace `output`.
        progress: told how far it has come.

    Raises:
        SourceError: the log cannot be read, is no newer, or has no known item.
        ArtifactError: the artifact lacks what a refresh needs.
        ConfigError: an option that does not fit.
        OutputError: the place cannot be written.
        TrainingError: a weight that is not finite.
        StoppedError: Ctrl-C.
    """
    began = time.perf_counter()
    place = _Place.of(artifact, output, overwrite=overwrite)
    work = _Work.of(place.base, tuning or TuningOptions(), store, progress)
    addition = work.read(log, options, overlap)
    rules = gate or GateOptions()
    n_held = held_out(len(addition.sessions), rules.holdout)
    n_shown = len(addition.sessions) - n_held
    verdict = None
    share = n_shown / (n_shown + len(addition.sessions)) if n_held else 0.0
    if n_held:
        made = work.build(addition, n_shown, share)
        held = addition.sessions.slice(n_shown, len(addition.sessions))
        verdict = judge(
            (place.base, _in_indices_of(place.base, held, addition)),
            (made, _in_indices_of(made, held, addition)),
            rules,
            progress=progress,
        )
    if verdict is None or verdict.reason is None:
        made = work.build(addition, len(addition.sessions), 1.0 - share)
    seconds = time.perf_counter() - began
    _note(made, verdict, seconds)
    path, version = place.put(made, verdict)
    return Refreshed(
        accepted=verdict is None or verdict.reason is None,
        artifact=made,
        path=path,
        version=version,
        verdict=verdict,
        report=addition.report | made.trained["refreshes"][-1],
        warnings=addition.warnings,
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the model comes from, and where the refreshed one goes."""

    base: Artifact
    registry: Registry | None
    follows: str | None
    output: Path | None
    overwrite: bool

    @classmethod
    def of(
        cls, artifact: Artifact | str | Path, output: str | Path | None, *, overwrite: bool
    ) -> _Place:
        """Look at both, and refuse what could not be written in the end."""
        source = None
        follows = None
        if not isinstance(artifact, Artifact):
            if is_registry(artifact):
                source = Registry(artifact)
                current = source.current()
                follows, artifact = current.name, current.path
            artifact = Artifact.load(artifact)
        target = Path(output) if output is not None else None
        if target is None:
            return cls(artifact, source, follows, None, overwrite)
        if is_registry(target):
            registry = Registry(target)
            same = source is not None and target.resolve() == source.path.resolve()
            return cls(artifact, registry, follows if same else None, None, overwrite)
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists already; choose another place or say --overwrite")
        return cls(artifact, None, None, target, overwrite)

    def put(
        self, made: Artifact, verdict: Verdict | None
    ) -> tuple[Path | None, ModelVersion | None]:
        """Write it where it belongs."""
        reason = None if verdict is None else verdict.reason
        if self.registry is not None:
            metrics = {} if verdict is None else asdict(verdict)
            note = f"refreshed from {self.follows}" if self.follows else "refreshed"
            if reason is None:
                version = self.registry.publish(
                    made, metrics=metrics, note=note, follows=self.follows
                )
            else:
                version = self.registry.keep_aside(made, reason, metrics=metrics, note=note)
            return version.path, version
        if self.output is None:
            return None, None
        if reason is None:
            made.save(self.output, overwrite=self.overwrite)
            return self.output, None
        aside = self.output.with_name(f"{self.output.name}.rejected")
        made.save(aside, overwrite=True)
        return aside, None


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A model that is to go on, and what it needs for it."""

    base: Artifact
    strategy: Update
    older: Sessions | None
    tuning: TuningOptions
    progress: Progress

    @classmethod
    def of(
        cls,
        base: Artifact,
        tuning: TuningOptions,
        store: Store | str | Path | None,
        progress: Progress,
    ) -> _Work:
        """Refuse a model that lacks something, before any work."""
        name = base.model.name
        if base.trained.get("last_ms") is None:
            raise ArtifactError(
                f"the artifact of {name} does not know when its log ended, so nothing says what "
                "is newer: train it again on a store with times"
            )
        strategy = refresh_strategy(base.model)
        needs = base.model.capabilities.needs_sessions
        replays = strategy != "exact" and is_trained(base.model, tuning) and tuning.replay > 0
        older = base.log if needs else None
        if older is None and (needs or replays):
            if store is None:
                remedy = "or train it with --refreshable" if needs else "or leave --replay out"
                raise ArtifactError(
                    f"{name} needs the sessions it has learned from, and the artifact does not hold "
                    f"them: name its store with --store, {remedy}"
                )
            opened = store if isinstance(store, Store) else Store.open(store)
            older = _of_store(base, opened)
        return cls(base, strategy, older, tuning, progress)

    def read(self, log: Any, options: PrepareOptions | None, overlap: Overlap) -> LogIncrement:
        """The new log, read as the older one was."""
        trained = self.base.trained
        protocol = trained["protocol"]
        addition = read_increment(
            log,
            PriorLog(
                self.base.items,
                int(trained["last_ms"]),
                protocol.get("block_ms"),
                protocol.get("block_origin_ms"),
            ),
            options or options_of(protocol, trained.get("prepared")),
            overlap=overlap,
            progress=self.progress,
        )
        if self.base.users is not None and addition.users is None:
            raise ConfigError(
                f"{self.base.model.name} reads users and the new log names none: name their column "
                "with --user-column"
            )
        if self.strategy == "by-block":
            check_blocks(self.base.model, addition.sessions)
        return addition

    def build(self, addition: LogIncrement, n_sessions: int, share: float) -> Artifact:
        """The model after the first n of the new sessions, in `share` of the minutes."""
        base, began = self.base, time.perf_counter()
        shown = addition.sessions.slice(0, n_sessions)
        chosen = np.unique(shown.items)
        of_shown, place = addition.items.only(chosen[chosen > 0])
        items, of_base, of_new = base.items.union(of_shown)
        new = _with_users(shown.renumbered(of_new[place], len(items)), base, addition.users)
        older = None if self.older is None else self.older.renumbered(of_base, len(items))
        past = PriorSessions(
            index=of_base,
            n_items=len(items),
            n_sessions=int(base.trained["counts"]["sessions"]),
            support=scatter_rows(base.support, of_base, len(items)),
            sessions=older,
        )
        model, figures = self._go_on(new, past, share)
        support = past.support + new.support()
        told = {
            "way": _WAYS[self.strategy],
            "fingerprint": _fingerprint(base, shown, addition.items),
            "sessions": len(new),
            "events": new.n_events,
            "new_items": len(items) - len(base.items),
            **figures,
            "build_seconds": time.perf_counter() - began,
        }
        keeps = base.model.capabilities.needs_sessions
        log = replace(past.both(new), times=None, users=None, blocks=None) if keeps else None
        return Artifact(model, items, support, _trained(base, new, support, told), base.users, log)

    def _go_on(
        self, new: Sessions, past: PriorSessions, share: float
    ) -> tuple[Model, dict[str, Any]]:
        model, told = self.base.model, self.progress
        if self.strategy == "exact":
            return model.extended(new, past, progress=told), {}
        minutes = None if self.tuning.minutes is None else self.tuning.minutes * share
        return continued_training(model, new, past, self.base.trained, self.tuning, minutes, told)


def _of_store(base: Artifact, store: Store) -> Sessions:
    """The older sessions out of the store that the model was trained on, in its indices.

    Raises:
        ArtifactError: it is another store.
    """
    origin = base.trained.get("base_fingerprint", base.trained["data_fingerprint"])
    if store.fingerprint != origin:
        raise ArtifactError(
            f"the model was first trained on data {origin}, the store {store.path} holds data "
            f"{store.fingerprint}; name the other one"
        )
    return sessions_for(base, store, base.trained["part"])


def _with_users(sessions: Sessions, base: Artifact, users: Vocabulary | None) -> Sessions:
    """The same with users in the indices of the model, who it does not know as nobody."""
    if base.users is None or users is None or sessions.users is None:
        return replace(sessions, users=None, n_users=0)
    index = np.append(np.int32(0), base.users.indices(users.ids()))
    return replace(sessions, users=index[sessions.users], n_users=len(base.users))


def _in_indices_of(artifact: Artifact, sessions: Sessions, addition: LogIncrement) -> Sessions:
    """Sessions of a new log as a model would be shown them."""
    index = np.append(np.int32(0), artifact.items.indices(addition.items.ids())).astype(np.int32)
    return _with_users(sessions.renumbered(index, len(artifact.items)), artifact, addition.users)


def _trained(base: Artifact, new: Sessions, support: Any, told: dict[str, Any]) -> dict[str, Any]:
    """What the manifest of the refreshed model says of its training."""
    before = base.trained
    assert new.times is not None
    counts = dict(before["counts"])
    for name, more in (
        ("events", new.n_events),
        ("sessions", len(new)),
        ("prefixes", new.n_prefixes),
    ):
        counts[name] = int(counts[name]) + more
    counts["items"] = int((support[1:] > 0).sum())
    return {
        **before,
        "counts": counts,
        "base_fingerprint": before.get("base_fingerprint", before["data_fingerprint"]),
        "data_fingerprint": told["fingerprint"],
        "last_ms": int(new.times.max()),
        "refreshes": [*before.get("refreshes", []), told],
    }


def _fingerprint(base: Artifact, shown: Sessions, items: Vocabulary) -> str:
    """Name the data: what the model had learned from, and the clicks since."""
    digest = hashlib.blake2b(base.trained["data_fingerprint"].encode(), digest_size=16)
    digest.update(json.dumps(items.ids()).encode())
    for array in (shown.items, shown.offsets, shown.times):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _note(made: Artifact, verdict: Verdict | None, seconds: float) -> None:
    made.trained["refreshes"][-1] |= {
        "verdict": None if verdict is None else asdict(verdict),
        "seconds": seconds,
    }
