"""Update a model with a newer log: read the log, build the updated artifact."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.time_blocks import TimeBlocks
from nextclick.data.increment import LogIncrement, PriorLog, options_from_manifest, read_increment
from nextclick.data.split import parse_time
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError
from nextclick.experiments.blend_update import updated_by_member
from nextclick.experiments.click_sources import ClickSource
from nextclick.experiments.incremental_training import (
    end_block,
    refresh_strategy,
    trains_on_update,
    updated_by_training,
)
from nextclick.experiments.reindex import sessions_for
from nextclick.models.grow_users import add_user_rows
from nextclick.models.incremental_state import PriorSessions, scatter_rows

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.increment import Overlap
    from nextclick.data.options import PrepareOptions
    from nextclick.experiments.newer_items import NewerItems
    from nextclick.experiments.refresh_options import FineTuneOptions
    from nextclick.models.base import Model, Update


@dataclass(frozen=True, slots=True, eq=False)
class ModelUpdate:
    """The update of a model.

    Attributes:
        base: the model to update.
        strategy: how it is updated.
        older: the sessions it was trained on, if the update needs them.
        fine_tune: how it is trained on the new sessions, unless the update is exact.
        progress: receives the progress of each stage.
        newer_items: a newer item table; None keeps that of the model.
    """

    base: Artifact
    strategy: Update
    older: Sessions | None
    fine_tune: FineTuneOptions
    progress: Progress
    newer_items: NewerItems | None = None

    @classmethod
    def create(
        cls,
        base: Artifact,
        fine_tune: FineTuneOptions,
        store: Store | str | Path | None,
        progress: Progress,
    ) -> ModelUpdate:
        """Validate the artifact before the log is read.

        Raises:
            ArtifactError: the artifact has no time of its last click, lacks the sessions that its
                update needs, or was trained on another store.
            ConfigError: the model has no incremental update.
        """
        name = base.model.name
        if base.trained.get("last_ms") is None:
            raise ArtifactError(
                f"the artifact of {name} does not know when its log ended, so new clicks cannot be "
                "identified: train it again on a store with times"
            )
        strategy = refresh_strategy(base.model)
        needs_log = base.model.capabilities.needs_sessions
        replays = (
            strategy != "exact" and trains_on_update(base.model, fine_tune) and fine_tune.replay > 0
        )
        older = base.log if needs_log else None
        if older is None and (needs_log or replays):
            if store is None:
                remedy = "or train it with --refreshable" if needs_log else "or omit --replay"
                raise ArtifactError(
                    f"{name} needs the sessions it was trained on, which the artifact does not "
                    f"contain: name its store with --store, {remedy}"
                )
            opened = store if isinstance(store, Store) else Store.open(store, progress)
            older = _older_sessions(base, opened)
        return cls(base, strategy, older, fine_tune, progress)

    def read_log(
        self, log: Any, options: PrepareOptions | None, overlap: Overlap, until: str | None
    ) -> LogIncrement:
        """Read the new log as the store was prepared, unless `options` say otherwise."""
        trained = self.base.trained
        protocol = trained["protocol"]
        stream: dict[str, Any] = {}
        options = options or options_from_manifest(protocol, trained.get("prepared"))
        if isinstance(log, ClickSource):
            clicks = log.read(trained, options)
            log, overlap, options = clicks.frame, clicks.overlap, clicks.options
            stream = clicks.record
        prior = PriorLog(
            self.base.items,
            int(trained["last_ms"]),
            TimeBlocks.from_protocol(protocol),
        )
        increment = read_increment(
            log,
            prior,
            options,
            overlap=overlap,
            until_ms=None if until is None else parse_time("until", until),
            progress=self.progress,
        )
        if stream:
            increment.report["stream"] = stream
        reads_history = self.base.model.capabilities.earlier_sessions > 0
        if (self.base.users is not None or reads_history) and increment.users is None:
            raise ConfigError(
                f"{self.base.model.name} reads users and the new log has none: name their column "
                "with --user-column"
            )
        return increment

    def build(self, increment: LogIncrement, n_sessions: int, time_share: float) -> Artifact:
        """The model updated with the first `n_sessions` new sessions.

        Args:
            increment: the new log.
            n_sessions: number of sessions, in the order in which they ended.
            time_share: share of the training time limit.
        """
        base, start = self.base, time.perf_counter()
        new = increment.sessions.slice(0, n_sessions)
        clicked = np.unique(new.items)
        new_vocabulary, to_new_vocabulary = increment.items.only(clicked[clicked > 0])
        newer = self.newer_items
        if newer is not None and newer.lists_unclicked:
            new_vocabulary, from_log, _ = new_vocabulary.union(newer.vocabulary)
            to_new_vocabulary = from_log[to_new_vocabulary]
        items, from_base, from_new = base.items.union(new_vocabulary)
        item_table = base.item_table
        if item_table is not None:
            rows = scatter_rows(np.arange(len(from_base), dtype=np.int32), from_base, len(items))
            if newer is None:
                item_table = item_table.take(rows)
            else:
                item_table = newer.joined(item_table, from_base, items)
        fingerprint = _fingerprint(base, new, increment.items)
        users = self._users_with_rows(new, increment.users)
        new = _with_model_users(
            new.remap_items(from_new[to_new_vocabulary], len(items)),
            users,
            increment.users,
            base.model,
        )
        older = None if self.older is None else self.older.remap_items(from_base, len(items))
        grown = base.model
        if users is not None and base.users is not None and users is not base.users:
            index = np.append(np.int32(0), users.indices(base.users.ids()))
            grown = add_user_rows(grown, index, len(users))
            if older is not None and older.users is not None:
                older = replace(older, users=index[older.users], n_users=len(users))
        prior = PriorSessions(
            index=from_base,
            n_items=len(items),
            n_sessions=int(base.trained["counts"]["sessions"]),
            support=scatter_rows(base.support, from_base, len(items)),
            sessions=older,
            item_table=None if newer is None else item_table,
        )
        model, training = self._update_model(grown, new, prior, time_share)
        end_block(model, new, increment.last_block_over(n_sessions))
        support = prior.support + new.support()
        record = {
            "update": self.strategy,
            "fingerprint": fingerprint,
            "sessions": len(new),
            "events": new.n_events,
            "new_items": len(items) - len(base.items),
            "new_users": 0 if users is None or base.users is None else len(users) - len(base.users),
            **training,
            "build_seconds": time.perf_counter() - start,
        }
        log = None
        if base.model.capabilities.needs_sessions:
            log = replace(prior.concatenate(new), times=None, users=None, blocks=None)
        trained = _training_record(base, new, support, record)
        return Artifact(model, items, support, trained, users, log, item_table)

    def _users_with_rows(self, new: Sessions, users: Vocabulary | None) -> Vocabulary | None:
        """The users of the model, and those of the new sessions with enough clicks."""
        known, least = self.base.users, self.fine_tune.min_user_clicks
        if known is None or users is None or new.users is None:
            return known
        if least == 0 or not self.base.model.user_arrays:
            return known
        clicks = np.bincount(new.users, weights=new.lengths(), minlength=len(users) + 1)
        is_new = np.append(True, known.indices(users.ids()) == 0)
        chosen = np.flatnonzero((clicks >= least) & is_new)
        if not len(chosen[chosen > 0]):
            return known
        return known.union(users.only(chosen[chosen > 0].astype(np.int32))[0])[0]

    def _update_model(
        self, model: Model, new: Sessions, prior: PriorSessions, time_share: float
    ) -> tuple[Model, dict[str, Any]]:
        if self.strategy == "exact":
            return model.update_exactly(new, prior, progress=self.progress), {}
        options = self.fine_tune
        if options.minutes is not None:
            options = replace(options, minutes=options.minutes * time_share)
        if self.strategy == "by-member":
            return updated_by_member(model, new, prior, self.base.trained, options, self.progress)
        return updated_by_training(model, new, prior, self.base.trained, options, self.progress)


def _older_sessions(base: Artifact, store: Store) -> Sessions:
    """The sessions of the first training, in the item indices of the model.

    Raises:
        ArtifactError: the model was first trained on another store.
    """
    fingerprint = base.trained.get("base_fingerprint", base.trained["data_fingerprint"])
    if store.fingerprint != fingerprint:
        raise ArtifactError(
            f"the model was first trained on data {fingerprint}, the store {store.path} holds data "
            f"{store.fingerprint}; name the other one"
        )
    return sessions_for(base, store, base.trained["part"])


def _with_model_users(
    sessions: Sessions, known: Vocabulary | None, users: Vocabulary | None, model: Model
) -> Sessions:
    """The sessions with user indices of the model; a user it does not know is 0.

    A model that reads earlier sessions, but no users, keeps the users of the log.
    """
    if known is None and model.capabilities.earlier_sessions and users is not None:
        return replace(sessions, n_users=len(users))
    if known is None or users is None or sessions.users is None:
        return replace(sessions, users=None, n_users=0)
    index = np.append(np.int32(0), known.indices(users.ids()))
    return replace(sessions, users=index[sessions.users], n_users=len(known))


def reindexed(artifact: Artifact, sessions: Sessions, increment: LogIncrement) -> Sessions:
    """Sessions of a new log in the item and user indices of a model."""
    index = np.append(np.int32(0), artifact.items.indices(increment.items.ids())).astype(np.int32)
    in_model_items = sessions.remap_items(index, len(artifact.items))
    return _with_model_users(in_model_items, artifact.users, increment.users, artifact.model)


def _training_record(
    base: Artifact, new: Sessions, support: Int64Array, record: dict[str, Any]
) -> dict[str, Any]:
    """The entry `trained` in the manifest of the refreshed model."""
    before = base.trained
    assert new.times is not None
    counts = dict(before["counts"])
    for name, n_new in (
        ("events", new.n_events),
        ("sessions", len(new)),
        ("prefixes", new.n_prefixes),
    ):
        counts[name] = int(counts[name]) + n_new
    counts["items"] = int((support[1:] > 0).sum())
    return {
        **before,
        "counts": counts,
        "base_fingerprint": before.get("base_fingerprint", before["data_fingerprint"]),
        "data_fingerprint": record["fingerprint"],
        "last_ms": _last_ms(new, int(before["last_ms"])),
        "refreshes": [*before.get("refreshes", []), record],
    }


def _last_ms(new: Sessions, before: int) -> int:
    """Time of the last click; one in the future does not say where the log ends."""
    assert new.times is not None
    last = int(new.times.max())
    return last if before > time.time() * 1000 else max(last, before)


def _fingerprint(base: Artifact, new: Sessions, items: Vocabulary) -> str:
    """Fingerprint of the training data: a hash of the previous one and the new clicks."""
    digest = hashlib.blake2b(base.trained["data_fingerprint"].encode(), digest_size=16)
    digest.update(json.dumps(items.ids()).encode())
    for array in (new.items, new.offsets, new.times):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
