"""The model that answers at a moment: one with a temporal item graph has a graph for each day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.core.time_blocks import TimeBlocks
from nextclick.serving.search.searcher import Searcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.models.base import Model
    from nextclick.serving.request import RecommendationRequest, ResolvedRequest
    from nextclick.serving.search.searcher import ScoredItems


class ModelMoments:
    """The model for each moment: its current form, or that for the last block that it contains.

    A session of block t is predicted from the blocks before t. A moment is known if `now` or the
    click times are in seconds since 1970; times on another clock, and requests without times, get
    the current form.

    Attributes:
        current: the current form.
    """

    def __init__(self, artifact: Artifact):
        self.current = artifact.model
        self._earlier = artifact.model
        self._from_ms = self._to_ms = 0.0  # the moments of the earlier form
        blocks = None
        if artifact.model.capabilities.update == "by-block":
            blocks = TimeBlocks.from_protocol(artifact.trained["protocol"] or {})
        if blocks is not None:
            last = artifact.model.last_block
            self._earlier = artifact.model.at_block(last)
            self._from_ms, self._to_ms = blocks.origin_ms, blocks.start_ms(last + 1)

    @property
    def has_one_model(self) -> bool:
        """Whether one form of the model answers all requests."""
        return self._earlier is self.current

    def model(self, request: RecommendationRequest) -> Model:
        """The form that answers a request."""
        moment = request.now
        if moment is None and request.times:
            moment = request.times[-1]
        if moment is not None and self._from_ms <= 1000.0 * moment < self._to_ms:
            return self._earlier
        return self.current


class MomentSearcher(Searcher):
    """Searches with the form of the model for the moment of each request."""

    def __init__(self, searcher: Searcher, moments: ModelMoments):
        self._searcher = searcher
        self._moments = moments

    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """See `Searcher`."""
        models = [self._moments.model(request.original) for request in requests]
        remaining: dict[int, ScoredItems] = {}  # of each form, the last request first
        for model in {id(model): model for model in models}.values():
            selected = [r for r, m in zip(requests, models, strict=True) if m is model]
            is_current = model is self._moments.current
            searcher = self._searcher if is_current else self._searcher.with_model(model)
            remaining[id(model)] = searcher.top(selected)[::-1]
        return [remaining[id(model)].pop() for model in models]

    def calibrate(
        self, requests: Sequence[ResolvedRequest], min_recall: float
    ) -> dict[str, object]:
        """See `Searcher`; the forms share the index of the item vectors."""
        return self._searcher.calibrate(requests, min_recall)
