"""Recommendations for many sessions at once, on item indices and on all processors.

The answers are those of `Recommender.recommend`: the same requests are built, without an object of
raw ids for each session.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.cutoffs import catalog_cutoff
from nextclick.core.hardware import cpus
from nextclick.core.item_rules import NO_RULES, ItemRules
from nextclick.errors import ConfigError
from nextclick.serving.request import RecommendationRequest, ResolvedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextclick.core.session_history import SessionHistory
    from nextclick.core.types import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.serving.recommender import Recommender
    from nextclick.serving.search.searcher import ScoredItems

_ROWS_PER_THREAD = 64  # sparse scores of more rows start threads of their own
_ROWS_PER_CALL = 512  # of a neural model, whose operations are parallel themselves


@dataclass(frozen=True, slots=True, eq=False)
class PackedSessions:
    """S sessions with E clicks.

    Attributes:
        items: (E,) int32, 0 for an item that the model does not know.
        offsets: (S + 1,) int64; session s is `items[offsets[s]:offsets[s + 1]]`, possibly empty.
        times: (E,) float64, seconds on any clock, ascending within a session; None if unknown.
        users: (S,) int32, 0 for an anonymous or unknown visitor; None without users.
        history: S rows, the earlier sessions of the visitors; None without.
    """

    items: Int32Array
    offsets: Int64Array
    times: Float64Array | None = None
    users: Int32Array | None = None
    history: SessionHistory | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True, eq=False)
class RankedLists:
    """The recommended items of S sessions, best first.

    Attributes:
        items: (R,) int32, one list after another.
        scores: (R,) float32, NaN for items that the model did not return.
        offsets: (S + 1,) int64; the list of session s is `items[offsets[s]:offsets[s + 1]]`.
    """

    items: Int32Array
    scores: Float32Array
    offsets: Int64Array

    @classmethod
    def of(cls, lists: ScoredItems) -> RankedLists:
        """Concatenate lists."""
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(items) for items, _ in lists], out=offsets[1:])
        items = np.concatenate([np.empty(0, np.int32), *(items for items, _ in lists)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in lists)])
        return cls(items, scores, offsets)


class BatchScorer:
    """Recommends for packed sessions under one set of conditions.

    Args:
        recommender: the model.
        k: number of items; above the size of the catalog it is lowered to it with a warning.
        rules: which items may be recommended.
        now: the moment of prediction on the clock of the times; None is the last click of each
            session.

    Raises:
        ConfigError: k is below 1, a rule is no list of ids, the model cannot follow a rule, or the
            rules explore.
    """

    def __init__(
        self,
        recommender: Recommender,
        k: int,
        *,
        rules: ItemRules = NO_RULES,
        now: float | None = None,
    ):
        self._recommender = recommender
        model = recommender.artifact.model
        self._k = catalog_cutoff(k, model.n_items)
        if rules.explore:
            raise ConfigError(
                "explore needs the probabilities of the shown items, which a table does not have; "
                "leave it out, or ask for each session"
            )
        recommender.check(self._k, rules)
        self._allowed, blocked, self._list_rules = recommender.resolve_rules(rules)
        self._blocked = np.unique(blocked)
        self._exclude_seen = rules.exclude_seen
        self._now = now
        self._first_click = model.capabilities.first_click
        self._plain = RecommendationRequest((), self._k, now=now, rules=rules)
        self._candidates = recommender.artifact.candidates
        self._reads_moment = model.capabilities.update == "by-block"
        self._in_threads = not (model.capabilities.neural or model.capabilities.composite)

    def score(
        self, sessions: PackedSessions, advance: Callable[[int], None] = lambda _: None
    ) -> RankedLists:
        """The recommended items of each session.

        Args:
            sessions: the sessions.
            advance: receives the number of sessions since its last call.

        Raises:
            ConfigError: `now` precedes a click, or is given for sessions without times.
        """
        requests = list(self._requests(sessions))
        step = _ROWS_PER_THREAD if self._in_threads else _ROWS_PER_CALL
        blocks = [requests[start : start + step] for start in range(0, len(requests), step)]
        lists: ScoredItems = []
        if not self._in_threads or len(blocks) < 2 or cpus() == 1:
            for block in blocks:
                lists += self._recommender.ranked(block)
                advance(len(block))
            return RankedLists.of(lists)
        pool = ThreadPoolExecutor(min(cpus(), len(blocks)))
        try:
            for ranked in pool.map(self._recommender.ranked, blocks):
                lists += ranked
                advance(len(ranked))
        finally:
            pool.shutdown(cancel_futures=True)  # after an interrupt, no further block starts
        return RankedLists.of(lists)

    def _requests(self, sessions: PackedSessions) -> Iterator[ResolvedRequest]:
        """The requests, in order; their unknown ids are represented by index 0."""
        if self._candidates is not None:  # clicks on other items are unknown to the model
            ranked = np.where(self._candidates[sessions.items], sessions.items, 0)
            sessions = replace(sessions, items=ranked.astype(np.int32))
        lengths = np.diff(sessions.offsets)
        self._check_now(sessions, lengths)
        known = sessions.items > 0
        before = np.zeros(len(known) + 1, dtype=np.int64)
        np.cumsum(known, out=before[1:])
        ends = before[sessions.offsets]  # (S + 1,) of the known clicks
        clicks = sessions.items[known]
        gaps, waits = self._relative_times(sessions, known, ends)
        users = sessions.users if sessions.users is not None else np.zeros(len(lengths), np.int32)
        history = sessions.history
        if not self._first_click:  # such a model does not read the visitor of an empty session
            users = np.where(lengths > 0, users, 0)
            history = None if history is None else history.hide(lengths == 0)
        starts = zip(sessions.offsets.tolist(), ends.tolist(), ends[1:].tolist(), strict=False)
        rows = zip(starts, lengths.tolist(), waits.tolist(), users.tolist(), strict=False)
        for s, ((offset, first, end), length, wait, user) in enumerate(rows):
            yield ResolvedRequest(
                original=self._original(sessions, offset, length),
                clicks=clicks[first:end],
                unknown=[0] * (length - (end - first)),
                k=self._k,
                excluded=self._excluded(sessions.items[offset : offset + length]),
                allowed=self._allowed,
                gaps=None if gaps is None else gaps[first:end],
                time_since_last_click=wait,
                user=user,
                history=[] if history is None else history.row(s),
                list_rules=self._list_rules,
            )

    def _original(
        self, sessions: PackedSessions, offset: int, length: int
    ) -> RecommendationRequest:
        """What is known of the moment; see `ModelMoments.model`."""
        if not self._reads_moment or sessions.times is None or not length:
            return self._plain
        return replace(self._plain, times=[float(sessions.times[offset + length - 1])])

    def _excluded(self, items: Int32Array) -> Int32Array:
        if not self._exclude_seen:
            return self._blocked
        return np.unique(np.concatenate([self._blocked, items]))

    def _check_now(self, sessions: PackedSessions, lengths: Int64Array) -> None:
        """Check the moment of prediction as `recommend` does."""
        if self._now is None or not len(sessions.items):
            return
        if sessions.times is None:
            raise ConfigError("now needs times: give the time of each click on the same clock")
        last = sessions.times[sessions.offsets[1:][lengths > 0] - 1]
        if not last.max() <= self._now:
            raise ConfigError(
                f"now must follow the clicks of every session, got {self._now}, but a session has "
                f"a click at {float(last.max())}; choose a later moment in seconds, or leave it out"
            )

    def _relative_times(
        self, sessions: PackedSessions, known: BoolArray, ends: Int64Array
    ) -> tuple[Float32Array | None, Float64Array]:
        """The gaps before all known clicks, and the time since the last one of each session."""
        waits = np.zeros(len(sessions))
        if sessions.times is None:
            return None, waits
        times = sessions.times[known]
        gaps = np.zeros(len(times), dtype=np.float32)
        gaps[1:] = times[1:] - times[:-1]
        has_click = ends[1:] > ends[:-1]
        gaps[ends[:-1][has_click]] = 0
        if self._now is not None:
            waits[has_click] = self._now - times[ends[1:][has_click] - 1]
        return gaps, waits
