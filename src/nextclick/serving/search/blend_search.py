"""Top-k search of a blend: the search of each member, then the score of their candidates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.filtered_topk import CandidateFilter, sparse_topk
from nextclick.core.topk import SortedBase
from nextclick.models.blended.top_lists import TopLists
from nextclick.serving.request import to_batch
from nextclick.serving.search.searcher import Searcher, build_searcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.models.blended.blend import Blend
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.searcher import ScoredItems

_NOTHING = np.empty(0, dtype=np.int32)


class BlendSearcher(Searcher):
    """Searches the lists of the members without filters, as the blend is evaluated.

    The filters of a request apply to the scored candidates. If they leave too few, the items that
    no member recommends follow, by clicks in training.
    """

    def __init__(self, model: Blend):
        self.model = model
        self.searchers = [build_searcher(member) for member in model.members]
        self._base = SortedBase.from_scores(model.base)

    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """See `Searcher`."""
        whole = self.member_requests(requests)
        lists = [TopLists.join(searcher.top(whole)) for searcher in self.searchers]
        scores = self.model.score_lists(lists, to_batch(requests))
        return sparse_topk(scores, self._base, CandidateFilter.of(requests))

    def calibrate(
        self, requests: Sequence[ResolvedRequest], min_recall: float
    ) -> dict[str, object]:
        """See `Searcher`; the searches of all members are verified."""
        whole = self.member_requests(requests)
        members = {
            label: searcher.calibrate(whole, min_recall)
            for label, searcher in zip(self.model.labels, self.searchers, strict=True)
        }
        return {"method": "blend", "members": members}

    def member_requests(self, requests: Sequence[ResolvedRequest]) -> list[ResolvedRequest]:
        """The requests for the candidates, without filters."""
        k = self.model.list_length
        return [replace(request, k=k, excluded=_NOTHING, allowed=None) for request in requests]
