"""The next clicks of a session of raw ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.artifact import Artifact
from nextclick.batch import SessionBatch
from nextclick.errors import ConfigError
from nextclick.serving.times import read_times
from nextclick.topk import SortedBase, dense_top, sparse_top
from nextclick.types import SparseScorer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick.types import BoolArray, Float32Array, Int32Array, RawId


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to show to one visitor, best first.

    Attributes:
        items: raw ids, at most k.
        scores: of the model; of no meaning across models, and None for a popular item.
        from_model: how many of `items` the model named; those after are the most popular ones,
            for the model knows nothing more of this session.
        unknown: the clicked ids that the model has never seen, which were passed over.
        note: what a person should know, or None.
    """

    items: list[RawId]
    scores: list[float | None]
    from_model: int
    unknown: list[RawId]
    note: str | None


class Recommender:
    """A trained model that answers on raw ids. Safe to use from several threads."""

    def __init__(self, artifact: Artifact):
        self.artifact = artifact
        self._popular = SortedBase.of(artifact.support.astype(np.float32)).best_first
        self._base: SortedBase | None = None

    @classmethod
    def load(cls, path: str | Path) -> Recommender:
        """Open an artefact.

        Raises:
            ArtifactError: the folder holds none, or a broken one.
        """
        return cls(Artifact.load(path))

    def recommend(
        self,
        sessions: Sequence[Sequence[RawId]],
        k: int = 20,
        *,
        times: Sequence[Sequence[float] | None] | None = None,
        users: Sequence[RawId | None] | None = None,
        now: Sequence[float | None] | float | None = None,
        exclude_seen: bool = False,
        allow: Iterable[RawId] | None = None,
        block: Iterable[RawId] = (),
    ) -> list[Recommendation]:
        """Name the k most likely next clicks of each session.

        Args:
            sessions: raw ids in the order of the clicks; a session may be empty.
            k: how many; fewer come back where fewer items may be shown.
            times: when each click of each session was made, in seconds of any clock; None where
                nobody knows.
            users: whose session it is; None for an anonymous visitor.
            now: the moment of asking on the same clock, of each session or of all; None is the
                moment of the last click. A model with gap=elapsed reads how long ago that was.
            exclude_seen: leave out what the session has clicked already.
            allow: only these items may be shown; None allows all.
            block: these items may not be shown.

        Raises:
            ConfigError: k is out of range, a session is not a sequence of ids, or times that do
                not fit the clicks or fall.
        """
        n_items = self.artifact.model.n_items
        if not 1 <= k <= n_items:
            raise ConfigError(f"k must be in 1..{n_items}, got {k}")
        for name, ids in (
            ("allow", allow or ()),
            ("block", block),
            *(("a session", s) for s in sessions),
        ):
            if isinstance(ids, str) or not isinstance(ids, Iterable):
                raise ConfigError(f"{name} must be a list of item ids, got {ids!r}")
        shown = self._may_be_shown(allow, block)
        indices = [self.artifact.items.indices(session) for session in sessions]
        known = [index[index > 0] for index in indices]
        # as many more as may fall away, so that k are left
        longest = max((len(clicks) for clicks in known), default=0) if exclude_seen else 0
        wanted = n_items if shown is not None else min(n_items, k + longest)
        gaps, waited = read_times([index > 0 for index in indices], times, now)
        batch = replace(
            SessionBatch.from_lists(known),
            gaps=gaps,
            waited=waited,
            users=self._users(users, len(sessions)),
        )
        lists, scores = self._best(batch, wanted)
        return [
            self._answer(list(session), index, row, score, k, shown, exclude_seen)
            for session, index, row, score in zip(sessions, indices, lists, scores, strict=True)
        ]

    def _users(self, users: Sequence[RawId | None] | None, n: int) -> Int32Array | None:
        if users is None:
            return None
        if isinstance(users, str) or len(users) != n:
            raise ConfigError(
                f"users must name one visitor for each of {n} sessions, got {users!r}"
            )
        found = np.zeros(n, dtype=np.int32)
        names = self.artifact.users
        for b, user in enumerate(users):
            if names is not None and user is not None:
                found[b] = names.index(user)
        return found

    def _best(self, batch: SessionBatch, k: int) -> tuple[Int32Array, list[Float32Array]]:
        """Return (B, k) items, 0 where the model names none, and the scores of each row."""
        model = self.artifact.model
        if not isinstance(model, SparseScorer):
            dense = model.score(batch)
            lists = dense_top(dense, k)
            return lists, [row[items] for row, items in zip(dense, lists, strict=True)]
        sparse = model.score_sparse(batch)
        base = self._base  # held here: another thread may put its own in the place
        if base is None or not base.fits(sparse.base):
            base = self._base = SortedBase.of(sparse.base)
        lists = sparse_top(sparse, base, k)
        return lists, [sparse.of(row, items) for row, items in enumerate(lists)]

    def _may_be_shown(
        self, allow: Iterable[RawId] | None, block: Iterable[RawId]
    ) -> BoolArray | None:
        blocked = self.artifact.items.indices(block)
        if allow is None and len(blocked) == 0:
            return None
        shown = np.full(self.artifact.model.n_items + 1, allow is None)
        if allow is not None:
            shown[self.artifact.items.indices(allow)] = True
        shown[blocked] = False
        shown[0] = False
        return shown

    def _answer(
        self,
        session: list[RawId],
        index: Int32Array,
        row: Int32Array,
        scores: Float32Array,
        k: int,
        shown: BoolArray | None,
        exclude_seen: bool,
    ) -> Recommendation:
        unknown = [raw for raw, i in zip(session, index, strict=True) if i == 0]
        nothing_known = bool(session) and len(unknown) == len(session)
        hidden = set(index.tolist()) if exclude_seen else set()

        def fits(item: int) -> bool:
            return item not in hidden and (shown is None or bool(shown[item]))

        chosen: dict[int, float | None] = {}
        if not nothing_known:
            for item, score in zip(row.tolist(), scores.tolist(), strict=True):
                if item == 0 or len(chosen) == k:
                    break
                if fits(item):
                    chosen[item] = score
        from_model = len(chosen)
        for item in self._popular.tolist() if from_model < k else ():
            if len(chosen) == k:
                break
            if item not in chosen and fits(item):
                chosen[item] = None
        return Recommendation(
            items=[self.artifact.items.raw(item) for item in chosen],
            scores=list(chosen.values()),
            from_model=from_model,
            unknown=unknown,
            note=_note(nothing_known, unknown, from_model, len(chosen)),
        )


def _note(nothing_known: bool, unknown: list[RawId], from_model: int, n_shown: int) -> str | None:
    if n_shown == 0:
        return "no item may be shown: allow, block and exclude_seen leave none"
    if nothing_known:
        return "every clicked item is unknown to the model: these are the most popular items"
    parts = []
    if unknown:
        parts.append(f"{len(unknown)} clicked items are unknown to the model and were passed over")
    if from_model < n_shown:
        parts.append(f"the last {n_shown - from_model} are popular items: the model named no more")
    return "; ".join(parts) or None
