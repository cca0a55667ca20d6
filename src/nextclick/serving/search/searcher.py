"""The interface of top-k search, and the choice of an implementation for a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias, cast

from nextclick.core.filtered_topk import CandidateFilter, TopK, sparse_topk
from nextclick.core.topk import SortedBase
from nextclick.serving.request import to_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.models.base import Model
    from nextclick.models.blended.blend import Blend
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.dot_product import ProductModel

ScoredItems: TypeAlias = "list[tuple[Int32Array, Float32Array]]"


class Searcher(ABC):
    """Finds the best allowed items of each request."""

    @abstractmethod
    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """For each request at most k items, best first, with their scores."""

    def with_model(self, model: Model) -> Searcher:
        """The same search with a model that differs in its history but not in its item vectors."""
        return build_searcher(model)

    def calibrate(
        self, requests: Sequence[ResolvedRequest], min_recall: float
    ) -> dict[str, object]:
        """Verify the search on sample requests, and describe it for `/v1/models`.

        Args:
            requests: sessions that are spread over the catalog.
            min_recall: recall of the exact top items below which an approximation is rejected;
                1 keeps the search exact.
        """
        del requests, min_recall
        return {"method": "exhaustive"}


def build_searcher(model: Model) -> Searcher:
    """Choose the search by the form of the model's scores: blend, sparse, dot product or dense."""
    capabilities = model.capabilities
    if capabilities.composite:
        from nextclick.serving.search.blend_search import BlendSearcher

        return BlendSearcher(cast("Blend", model))
    if capabilities.sparse_scores:
        return SparseSearcher(model)
    if capabilities.neural and capabilities.product_scores:
        from nextclick.serving.search.dot_product import DotProductSearcher  # compiles kernels

        return DotProductSearcher(cast("ProductModel", model))
    return DenseSearcher(model)


class SparseSearcher(Searcher):
    """For a model that scores a few items by session and all others by a shared base."""

    def __init__(self, model: Model):
        self.model = model
        self._base: SortedBase | None = None

    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """See `Searcher`."""
        sparse = self.model.score_sparse(to_batch(requests))
        base = self._base  # a local reference: another thread may replace the attribute
        if base is None or not base.matches(sparse.base):
            base = self._base = SortedBase.from_scores(sparse.base)
        return sparse_topk(sparse, base, CandidateFilter.of(requests))


class DenseSearcher(Searcher):
    """For a model that scores every item."""

    def __init__(self, model: Model):
        self.model = model

    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """See `Searcher`."""
        candidates = CandidateFilter.of(requests)
        top = TopK.empty(candidates)
        top.add(self.model.score(to_batch(requests))[:, 1:], 1, candidates)
        return top.lists()
