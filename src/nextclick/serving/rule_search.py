"""Requests whose rules form the list: what is searched, and the list from what is found."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.exploration import exploration_rng
from nextclick.core.filtered_topk import fill_from_popular
from nextclick.core.item_rules import NO_RULES, ItemRules, allowed_items, where_items
from nextclick.core.shown_list import ListRules, form_list, pool_size
from nextclick.errors import ConfigError
from nextclick.serving.request import check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextclick.artifact import Artifact
    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.shown_list import ShownList
    from nextclick.core.types import BoolArray, Int32Array, RawId
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.searcher import ScoredItems

_MAX_CONDITIONS = 16  # of which the items are kept
NOTHING_FOUND: ScoredItems = [(np.empty(0, np.int32), np.empty(0, np.float32))]


class RuleSearch:
    """Forms the lists of one model.

    Args:
        artifact: the model with its items.
        popular: (N,) int32, the items by descending popularity.
    """

    def __init__(self, artifact: Artifact, popular: Int32Array):
        self._artifact = artifact
        self._popular = popular
        self._candidates = artifact.candidates
        # a shop sends the same few conditions again and again
        self._where = lru_cache(maxsize=_MAX_CONDITIONS)(
            lambda where: where_items(where, artifact.item_table)
        )
        self._similarity: ItemSimilarity | None = None  # built when a request asks for diversity

    def list_rules(self, rules: ItemRules) -> ListRules | None:
        """The rules that form the list, on item indices; None if all of them only hide items.

        Raises:
            ConfigError: the model cannot follow a rule.
        """
        if rules is NO_RULES or not rules.forms_list:
            return None
        model = self._artifact.model
        if rules.diversity is not None and self._similarity is None:
            self._similarity = model.item_similarity()
        return ListRules.of(
            rules,
            self._artifact.items,
            logarithmic=model.scores_are_logarithmic,
            similarity=self._similarity,
            table=self._artifact.item_table,
        )

    def allowed(self, rules: ItemRules) -> BoolArray | None:
        """(N + 1,) bool, the items that the model can rank and that `allow` and `where` leave.

        Returns:
            The items; None for all.

        Raises:
            ConfigError: the model does not have the columns of `where`.
        """
        allowed = self._candidates
        if rules.where is not None:
            fitting = self._where(rules.where)
            allowed = fitting if allowed is None else allowed & fitting
        if rules.allow is not None:
            named = allowed_items(self._artifact.items, rules.allow)
            allowed = named if allowed is None else allowed & named
        return allowed

    def searches(self, request: ResolvedRequest) -> list[ResolvedRequest]:
        """The search for the pool and, if a rule names items, that for their scores."""
        rules = request.list_rules
        if rules is None:
            return [request]
        n_items = self._artifact.model.n_items
        pool = replace(request, k=rules.search_size(request.k, n_items))
        if not len(rules.named):
            return [pool]
        allowed = rules.named_only(request.allowed, n_items)
        return [pool, replace(request, k=len(rules.named), allowed=allowed)]

    def form(self, request: ResolvedRequest, rules: ListRules, found: ScoredItems) -> ShownList:
        """The list of a request, completed from popular items.

        Args:
            request: the request.
            rules: its rules.
            found: what the searches found; empty for a session without a known click.
        """
        best, named = [*found, *NOTHING_FOUND, *NOTHING_FOUND][:2]
        used = np.concatenate([best[0], rules.named])
        n_wanted = len(used) + pool_size(request.k)
        fill = fill_from_popular(self._popular, used, replace(request, k=n_wanted))
        rng = None
        if rules.explore:
            rng = np.random.default_rng()
            if rules.seed is not None:
                rng = exploration_rng(rules.seed, request.clicks)
        shown = form_list(rules, request, best, named, fill, rng)
        filled = shown.items > 0  # not all, if the filters leave too few items
        return shown._replace(
            items=shown.items[filled],
            scores=shown.scores[filled],
            propensity=shown.propensity[filled],
            explored=shown.explored[filled],
        )


def joined_rules(
    rules: ItemRules,
    exclude_seen: bool,
    allow: Iterable[RawId] | None,
    block: Iterable[RawId],
) -> ItemRules:
    """The rules of `Recommender.recommend`, which are given in one of two forms.

    Raises:
        ConfigError: they are given in both forms, or a list is not one of ids.
    """
    for name, ids in (("allow", allow or ()), ("block", block)):
        check_ids(name, ids)
    blocked = tuple(block)
    if not exclude_seen and allow is None and not blocked:
        return rules
    if rules is not NO_RULES:
        raise ConfigError(
            "rules must contain all rules, but exclude_seen, allow or block are given beside them; "
            "give these as fields of rules"
        )
    return ItemRules(exclude_seen, None if allow is None else tuple(allow), blocked)
