"""Recommendations and explanations for sessions of raw ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.artifact import Artifact
from nextclick.artifact.registries import artifact_folder
from nextclick.core.cutoffs import catalog_cutoff
from nextclick.core.display import Display, Displayed
from nextclick.core.filtered_topk import fill_from_popular
from nextclick.core.item_rules import NO_RULES, ItemRules
from nextclick.core.topk import SortedBase
from nextclick.errors import ConfigError
from nextclick.serving.explanation import (
    Explanation,
    ExplanationSummary,
    explain_session,
    summarize_explanation,
)
from nextclick.serving.explanation_request import (
    ablated_requests,
    check_explained,
    items_to_explain,
    nothing_to_explain,
)
from nextclick.serving.model_moments import ModelMoments, MomentSearcher
from nextclick.serving.recommendation import Recommendation
from nextclick.serving.request import RecommendationRequest, ResolvedRequest, check_ids
from nextclick.serving.request_history import resolve_history
from nextclick.serving.request_notes import RequestNotes, check_first_click
from nextclick.serving.rule_search import NOTHING_FOUND, RuleSearch, joined_rules
from nextclick.serving.search import build_searcher
from nextclick.serving.sessions.click_times import relative_times

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.shown_list import ListRules
    from nextclick.core.types import BoolArray, Float32Array, Float64Array, Int32Array, RawId
    from nextclick.serving.request_history import RawHistory
    from nextclick.serving.search.searcher import ScoredItems


class _List(NamedTuple):
    """The list of one request.

    Attributes:
        items: (n,) int32, n at most k.
        scores: (n,) float32; NaN for an item without a score of the model.
        propensity: (n,) float64, the probability of each item; None unless the rules explore.
        n_filled: items from popularity that complete the list.
        n_random: items without a score that were drawn at random.
    """

    items: Int32Array
    scores: Float32Array
    propensity: Float64Array | None = None
    n_filled: int = 0
    n_random: int = 0


class Recommender(Displayed):
    """A trained model that recommends on raw ids. Safe to use from several threads.

    Args:
        artifact: the model with its items.
        ids_as_text: return all ids as text. JavaScript rounds integers above 2^53.
    """

    def __init__(self, artifact: Artifact, *, ids_as_text: bool = False):
        if ids_as_text:
            artifact = replace(artifact, items=artifact.items.as_text())
        self.artifact = artifact
        self.popular = SortedBase.from_scores(artifact.support.astype(np.float32)).best_first
        self._candidates_of_model = artifact.candidates
        self._moments = ModelMoments(artifact)
        self._notes = RequestNotes(artifact, self._moments)
        self._rules = RuleSearch(artifact, self.popular)
        self.searcher = build_searcher(artifact.model)
        if not self._moments.has_one_model:
            self.searcher = MomentSearcher(self.searcher, self._moments)

    @classmethod
    def load(cls, path: str | Path, *, ids_as_text: bool = False) -> Recommender:
        """Load an artifact, or the current version of a registry.

        Args:
            path: a folder, or its address in object storage.
            ids_as_text: return ids as text.

        Raises:
            ArtifactError: the folder contains no valid artifact, or the registry has no current
                version.
        """
        artifact = Artifact.load(artifact_folder(path), to_serve=True)
        return cls(artifact, ids_as_text=ids_as_text)

    def display(self) -> Display:
        """What is shown of the recommender: its artifact."""
        shown = self.artifact.display()
        return replace(shown, title=f"Recommender with {self.artifact.model.name}")

    def recommend(
        self,
        sessions: Sequence[Sequence[RawId]],
        k: int = 20,
        *,
        times: Sequence[Sequence[float] | None] | None = None,
        users: Sequence[RawId | None] | None = None,
        now: Sequence[float | None] | float | None = None,
        history: Sequence[RawHistory] | None = None,
        exclude_seen: bool = False,
        allow: Iterable[RawId] | None = None,
        block: Iterable[RawId] = (),
        rules: ItemRules = NO_RULES,
    ) -> list[Recommendation]:
        """Recommend the k most likely next clicks of each session.

        Args:
            sessions: raw ids in click order; a session may be empty. A model that answers the
                first click then ranks by the user and the history.
            k: number of items; fewer are returned if the filters leave fewer. A k above the size
                of the catalog is lowered to it with a warning.
            times: click times of each session in seconds on any clock; None if unknown.
            users: the visitor of each session; None for an anonymous visitor.
            now: the moment of prediction on the same clock, for each session or for all; None is
                the time of the last click. An empty session begins at `now`. Models with
                gap=elapsed read the time since the last click. A
                model with a temporal item graph reads the graph of the blocks before that of the
                moment, if it is in seconds since 1970.
            history: earlier sessions of the visitor of each session, the oldest first: raw ids,
                and the time of the last click, or of each click, on the same clock, or None. Models
                without a history ignore them.
            exclude_seen: exclude the items of the session.
            allow: recommend only these items; None allows all.
            block: never recommend these items.
            rules: all rules, in place of the three arguments above.

        Raises:
            ConfigError: k is below 1, a session is not a sequence of ids, times do not match the
                clicks or decrease, or an earlier session does not end before the session. Also if
                an empty session has a user or a history that the model cannot read without a click,
                rules are given in both forms, or the model cannot follow them.
        """
        B = len(sessions)
        if isinstance(users, str) or (users is not None and len(users) != B):
            raise ConfigError(
                f"users must have an entry for each of {B} sessions, got {users!r}; "
                "use None for an anonymous visitor"
            )
        for session in sessions:
            check_ids("session", session)
        if times is None and now is not None and any(len(session) for session in sessions):
            raise ConfigError("now needs times: give the time of each click on the same clock")
        moments = list(now) if isinstance(now, Sequence) else [now] * B
        for name, given in (("times", times), ("now", moments), ("history", history)):
            if given is not None and len(given) != B:
                raise ConfigError(
                    f"{name} must have an entry for each of {B} sessions, got {len(given)}"
                )
        k = catalog_cutoff(k, self.artifact.model.n_items)
        rules = joined_rules(rules, exclude_seen, allow, block)
        self.check(k, rules)
        candidates = self.resolve_rules(rules)
        requests = []
        for b, session in enumerate(sessions):
            clock = None if times is None else times[b]
            request = RecommendationRequest(
                session,
                k,
                times=clock,
                user=None if users is None else users[b],
                now=moments[b] if clock is not None or not len(session) else None,
                history=() if history is None else history[b],
                rules=rules,
            )
            requests.append(self._resolve(request, *candidates))
        return self.answer(requests)

    def explain(
        self,
        session: Sequence[RawId],
        k: int = 5,
        *,
        items: Sequence[RawId] | None = None,
        times: Sequence[float] | None = None,
        user: RawId | None = None,
        now: float | None = None,
        history: RawHistory = (),
    ) -> Explanation:
        """Explain why a session gets its recommendations.

        Args:
            session: raw ids in click order.
            k: number of recommended items to explain if `items` is None.
            items: items to explain, recommended or not; None explains the top k.
            times: click times of the session, as for `recommend`.
            user: the visitor, or None.
            now: the moment of prediction; it stays the same if a click is left out. None is the
                last remaining click.
            history: the earlier sessions of the visitor, as for `recommend`.

        Raises:
            ConfigError: as `recommend`; or no click or no item is known to the model.
        """
        # an unused k is not validated
        k = 1 if items is not None else catalog_cutoff(k, self.artifact.model.n_items)
        given = RecommendationRequest(session, k, times=times, user=user, now=now, history=history)
        request = self.resolve(given)
        check_explained(request)
        explained = self._items_to_explain(request, items)
        shorter = ablated_requests(self.artifact.model, given, self.indices(session))
        ablated = [self.resolve(one) for one in shorter]
        return explain_session(self.answering(request), request, ablated, explained)

    def check(self, k: int, rules: ItemRules) -> None:
        """Validate k and the rules.

        Raises:
            ConfigError: k is out of range, a filter is not a list of ids, or the model cannot
                follow a rule.
        """
        n_items = self.artifact.model.n_items
        if not 1 <= k <= n_items:
            raise ConfigError(f"k must be in 1..{n_items}, got {k}")
        if rules is not NO_RULES:
            for name, ids in (("allow", rules.allow or ()), ("block", rules.block)):
                check_ids(name, ids)
            self._rules.list_rules(rules)
            if rules.where is not None:
                self._rules.allowed(rules)

    def resolve(self, request: RecommendationRequest) -> ResolvedRequest:
        """Validate a request and map its ids to indices.

        Raises:
            ConfigError: as `recommend`.
        """
        self.check(request.k, request.rules)
        return self._resolve(request, *self.resolve_rules(request.rules))

    def answer(self, requests: Sequence[ResolvedRequest]) -> list[Recommendation]:
        """Answer a batch of independent requests."""
        return [
            self._recommendation(request, shown)
            for request, shown in zip(requests, self._lists(requests), strict=True)
        ]

    def ranked(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """At most k items of each request, best first, and their scores.

        The score of an item that the model did not return is NaN: of a pinned item, of one drawn
        at random, and of a popular one that completes the list.
        """
        return [(shown.items, shown.scores) for shown in self._lists(requests)]

    def _lists(self, requests: Sequence[ResolvedRequest]) -> list[_List]:
        """The list of each request."""
        searches = [
            [] if self._notes.is_popular_only(request) else self._rules.searches(request)
            for request in requests
        ]
        searched = [search for own in searches for search in own]
        lists = iter(self.searcher.top(searched) if searched else ())
        return [
            self._list(request, [next(lists) for _ in own])
            for request, own in zip(requests, searches, strict=True)
        ]

    def explanations(self, requests: Sequence[ResolvedRequest]) -> list[ExplanationSummary | None]:
        """The explanation summary of each request that asks for one, None for the others."""
        return [
            summarize_explanation(self.answering(request), request)
            if request.original.explain
            else None
            for request in requests
        ]

    def answering(self, request: ResolvedRequest) -> Artifact:
        """The artifact with the form of its model that answers a request."""
        model = self._moments.model(request.original)
        return (
            self.artifact if model is self.artifact.model else replace(self.artifact, model=model)
        )

    def _items_to_explain(
        self, request: ResolvedRequest, items: Sequence[RawId] | None
    ) -> list[int]:
        if items is not None:
            check_ids("items", items)
            return items_to_explain(self.indices(items), items)
        ((top, _),) = self.searcher.top([request])
        if len(top) == 0:
            raise nothing_to_explain(self.artifact.model.name)
        return [int(item) for item in top]

    def resolve_rules(
        self, rules: ItemRules
    ) -> tuple[BoolArray | None, Int32Array, ListRules | None]:
        """(N + 1,) allowed items, None for all; the blocked items; what forms the list.

        Raises:
            ConfigError: the model cannot follow a rule.
        """
        blocked = self.artifact.items.indices(rules.block)
        return self._rules.allowed(rules), blocked, self._rules.list_rules(rules)

    def indices(self, raw_ids: Iterable[RawId]) -> Int32Array:
        """(n,) int32, the index of each raw id; 0 for an item that the model cannot rank."""
        indices = self.artifact.items.indices(raw_ids)
        if self._candidates_of_model is None:
            return indices
        return np.where(self._candidates_of_model[indices], indices, 0).astype(np.int32)

    def _resolve(
        self,
        request: RecommendationRequest,
        allowed: BoolArray | None,
        blocked: Int32Array,
        list_rules: ListRules | None,
    ) -> ResolvedRequest:
        check_ids("session", request.session)
        session = list(request.session)
        indices = self.indices(session)
        known = indices > 0
        gaps, elapsed = relative_times(known, request.times, request.now)
        users = self.artifact.users
        start = request.times[0] if request.times else None if session else request.now
        check_first_click(self.artifact.model, request)
        excluded = np.concatenate([blocked, indices]) if request.rules.exclude_seen else blocked
        return ResolvedRequest(
            original=request,
            clicks=indices[known],
            unknown=[raw for raw, index in zip(session, indices, strict=True) if index == 0],
            k=request.k,
            excluded=np.unique(excluded) if len(excluded) else excluded,
            allowed=allowed,
            gaps=gaps,
            time_since_last_click=elapsed,
            user=0 if users is None or request.user is None else users.index(request.user),
            history=resolve_history(self.indices, request.history, start),
            list_rules=list_rules,
        )

    def _list(self, request: ResolvedRequest, found: ScoredItems) -> _List:
        if request.list_rules is not None:
            return self._formed_list(request, request.list_rules, found)
        items, scores = (found or NOTHING_FOUND)[0]
        if len(items) < request.k:
            filled = fill_from_popular(self.popular, items, request)
            items = np.concatenate([items, filled])
            scores = np.append(scores, np.full(len(filled), np.nan, dtype=np.float32))
        return _List(items, scores, n_filled=int(np.count_nonzero(np.isnan(scores))))

    def _formed_list(self, request: ResolvedRequest, rules: ListRules, found: ScoredItems) -> _List:
        shown = self._rules.form(request, rules, found)
        unscored = np.isnan(shown.scores)
        n_random = int(np.count_nonzero(unscored & shown.explored))
        n_pinned = int(np.count_nonzero(np.isin(shown.items[unscored], [*rules.pins.values()])))
        return _List(
            shown.items,
            shown.scores,
            shown.propensity if rules.explore else None,
            n_filled=int(np.count_nonzero(unscored)) - n_random - n_pinned,
            n_random=n_random,
        )

    def _recommendation(self, request: ResolvedRequest, shown: _List) -> Recommendation:
        scores = shown.scores.tolist()
        n_from_model = sum(not math.isnan(score) for score in scores)
        return Recommendation(
            items=self.artifact.items.raw_ids(shown.items),
            scores=[None if math.isnan(score) else score for score in scores],
            from_model=n_from_model,
            unknown=request.unknown,
            note=self._notes.of(request, len(scores), n_from_model, shown.n_filled, shown.n_random),
            propensity=None if shown.propensity is None else shown.propensity.tolist(),
        )
