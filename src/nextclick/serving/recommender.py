"""The next clicks of a session of raw ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.topk import SortedBase
from nextclick.errors import ConfigError
from nextclick.serving.explanation import Explanation, explain_wish
from nextclick.serving.explanation_summary import Reasons, reasons_for
from nextclick.serving.request import Query, Wish
from nextclick.serving.search.filtered_topk import fill
from nextclick.serving.search.scorers import scorer_of
from nextclick.serving.sessions.click_times import read_times

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import BoolArray, Float32Array, Int32Array, RawId


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
        self.popular = SortedBase.of(artifact.support.astype(np.float32)).best_first
        self.scorer = scorer_of(artifact.model)

    @classmethod
    def load(cls, path: str | Path) -> Recommender:
        """Open an artifact.

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
        B = len(sessions)
        if isinstance(users, str) or (users is not None and len(users) != B):
            raise ConfigError(
                f"users must name one visitor for each of {B} sessions, got {users!r}"
            )
        if times is None and now is not None:
            raise ConfigError("now needs times: give the time of each click on the same clock")
        moments = list(now) if isinstance(now, Sequence) else [now] * B
        for name, given in (("times", times), ("now", moments)):
            if given is not None and len(given) != B:
                raise ConfigError(
                    f"{name} must have an entry for each of {B} sessions, got {len(given)}"
                )
        self.check(k, allow, block)
        shown, blocked = self._may_be_shown(allow, block)
        wishes = []
        for b, session in enumerate(sessions):
            clock = None if times is None else times[b]
            query = Query(
                session,
                k,
                times=clock,
                user=None if users is None else users[b],
                now=moments[b] if clock is not None else None,
                exclude_seen=exclude_seen,
            )
            wishes.append(self._wish(query, shown, blocked))
        return self.answer(wishes)

    def explain(
        self,
        session: Sequence[RawId],
        k: int = 5,
        *,
        items: Sequence[RawId] | None = None,
        times: Sequence[float] | None = None,
        user: RawId | None = None,
        now: float | None = None,
    ) -> Explanation:
        """Say why a session gets the items that it gets.

        Args:
            session: raw ids in the order of the clicks.
            k: how many recommended items are explained, where `items` names none.
            items: explain these, recommended or not; None for the k that `recommend` names first.
            times: as for `recommend`, of this session; and the next two.
            user: whose session it is.
            now: the moment of asking. Where a click is left out it stays what it is; None is the
                last click that is left.

        Raises:
            ConfigError: what `recommend` raises; no click or no item is given or known.
        """
        k = k if items is None else 1  # of a k that nobody reads nothing is asked
        wish = self.wish(Query(session, k, times=times, user=user, now=now))
        if len(wish.clicks) == 0:
            raise ConfigError(
                "explain needs a session with at least one click on an item that the model knows, "
                f"got {list(session)!r}"
            )
        named = self._explained(wish, items)
        known = np.flatnonzero(self.artifact.items.indices(list(session)))
        without = []
        for click in known.tolist():
            rest = [at for at in range(len(session)) if at != click]
            clock = None if times is None else [times[at] for at in rest]
            query = Query([session[at] for at in rest], k, times=clock, user=user, now=now)
            without.append(self.wish(query))
        return explain_wish(self.artifact, wish, without, named)

    def _explained(self, wish: Wish, items: Sequence[RawId] | None) -> list[int]:
        """Indices of the items to explain."""
        if items is None:
            ((best, _),) = self.scorer.best([wish])
            if len(best) == 0:
                raise ConfigError(
                    f"{self.artifact.model.name} recommends nothing here that could be explained; "
                    "name items yourself"
                )
            return [int(item) for item in best]
        _check_ids("items", items)
        index = self.artifact.items.indices(items).tolist()
        missing = [raw for raw, item in zip(items, index, strict=True) if item == 0]
        if missing or not index:
            raise ConfigError(
                "items to explain must be known to the model, at least one; "
                f"got {missing or list(items)!r}"
            )
        return [int(item) for item in dict.fromkeys(index)]

    def check(self, k: int, allow: Iterable[RawId] | None, block: Iterable[RawId]) -> None:
        """See whether these may be asked.

        Raises:
            ConfigError: k is out of range, or no list of ids.
        """
        n_items = self.artifact.model.n_items
        if not 1 <= k <= n_items:
            raise ConfigError(f"k must be in 1..{n_items}, got {k}")
        for name, ids in (("allow", allow or ()), ("block", block)):
            _check_ids(name, ids)

    def wish(self, query: Query) -> Wish:
        """Check what is asked, and put it on indices.

        Raises:
            ConfigError: as `recommend`.
        """
        self.check(query.k, query.allow, query.block)
        return self._wish(query, *self._may_be_shown(query.allow, query.block))

    def answer(self, wishes: Sequence[Wish]) -> list[Recommendation]:
        """Answer several requests at once; none influences another."""
        asked = [wish for wish in wishes if not _nothing_known(wish)]
        lists = iter(self.scorer.best(asked) if asked else ())
        nothing = (np.empty(0, np.int32), np.empty(0, np.float32))
        return [
            self._answer(wish, *(nothing if _nothing_known(wish) else next(lists)))
            for wish in wishes
        ]

    def reasons(self, wishes: Sequence[Wish]) -> list[Reasons | None]:
        """Why the answers are what they are; None for who did not ask."""
        return [reasons_for(self.artifact, wish) if wish.query.explain else None for wish in wishes]

    def _may_be_shown(
        self, allow: Iterable[RawId] | None, block: Iterable[RawId]
    ) -> tuple[BoolArray | None, Int32Array]:
        """(N + 1,) what `allow` allows, None for all; and what is blocked."""
        blocked = self.artifact.items.indices(block)
        if allow is None:
            return None, blocked
        shown = np.zeros(self.artifact.model.n_items + 1, dtype=np.bool_)
        shown[self.artifact.items.indices(allow)] = True
        shown[0] = False
        return shown, blocked

    def _wish(self, query: Query, shown: BoolArray | None, blocked: Int32Array) -> Wish:
        _check_ids("a session", query.session)
        session = list(query.session)
        index = self.artifact.items.indices(session)
        known = index > 0
        gaps, waited = read_times(known, query.times, query.now)
        names = self.artifact.users
        hidden = np.concatenate([blocked, index]) if query.exclude_seen else blocked
        return Wish(
            query=query,
            clicks=index[known],
            unknown=[raw for raw, i in zip(session, index, strict=True) if i == 0],
            k=query.k,
            hidden=np.unique(hidden) if len(hidden) else hidden,
            shown=shown,
            gaps=gaps,
            waited=waited,
            user=0 if names is None or query.user is None else names.index(query.user),
        )

    def _answer(self, wish: Wish, items: Int32Array, scores: Float32Array) -> Recommendation:
        more = fill(self.popular, items, wish) if len(items) < wish.k else items[:0]
        shown = self.artifact.items.raws(np.concatenate([items, more]))
        return Recommendation(
            items=shown,
            scores=[*scores.tolist(), *[None] * len(more)],
            from_model=len(items),
            unknown=wish.unknown,
            note=_note(_nothing_known(wish), wish.unknown, len(items), len(shown)),
        )


def _nothing_known(wish: Wish) -> bool:
    """Whether there are clicks, and the model knows none of them."""
    return len(wish.clicks) == 0 and len(wish.unknown) > 0


def _check_ids(name: str, ids: object) -> None:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise ConfigError(f"{name} must be a list of item ids, got {ids!r}")


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
