"""How a model names its best items: sparsely, row by row, or as products with its table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias, cast

from nextclick.core.topk import SortedBase
from nextclick.serving.request import batch_of
from nextclick.serving.search.filtered_topk import Best, Filters, sparse_best

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.models.base import Model
    from nextclick.models.neural_model import NeuralModel
    from nextclick.serving.request import Wish

Lists: TypeAlias = "list[tuple[Int32Array, Float32Array]]"


class BestScorer(ABC):
    """Names the recommended items of requests, with their scores."""

    @abstractmethod
    def best(self, wishes: Sequence[Wish]) -> Lists:
        """For each request at most k items, best first, and their scores."""

    def forget(self, live: str) -> None:
        """Drop what is cached of a live session."""
        del live


def scorer_of(model: Model) -> BestScorer:
    """The way that suits the capabilities of a model."""
    capabilities = model.capabilities
    if capabilities.sparse_scores:
        return SparseBest(model)
    if capabilities.neural and capabilities.product_scores:
        # these import torch
        from nextclick.serving.search.dot_product import ProductBest
        from nextclick.serving.search.recurrent_state import RecurrentBest

        neural = cast("NeuralModel", model)
        return RecurrentBest(neural) if capabilities.recurrent_step else ProductBest(neural)
    return DenseBest(model)


class SparseBest(BestScorer):
    """Of a model that lists the few items whose score depends on the session."""

    def __init__(self, model: Model):
        self.model = model
        self._base: SortedBase | None = None

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`."""
        sparse = self.model.score_sparse(batch_of(wishes))
        base = self._base  # held here: another thread may put its own in the place
        if base is None or not base.fits(sparse.base):
            base = self._base = SortedBase.of(sparse.base)
        return sparse_best(sparse, base, Filters.of(wishes))


class DenseBest(BestScorer):
    """Of a model that scores all items."""

    def __init__(self, model: Model):
        self.model = model

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`."""
        filters = Filters.of(wishes)
        found = Best.empty(filters)
        found.add(self.model.score(batch_of(wishes))[:, 1:], 1, filters)
        return found.lists()
