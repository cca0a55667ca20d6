"""How a model names its best items: sparsely, row by row, or as products with its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from nextclick.core.topk import SortedBase
from nextclick.core.types import SparseScorer
from nextclick.serving.request import batch_of
from nextclick.serving.search.filtered_topk import Best, Filters, sparse_best

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.models.base import Model
    from nextclick.serving.request import Wish

Lists: TypeAlias = "list[tuple[Int32Array, Float32Array]]"


class BestScorer(Protocol):
    """Names the recommended items of requests, with their scores."""

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """For each request at most k items, best first, and their scores."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """A model whose scores are products of a query with a table; see `models.neural`."""

    encoder: Any

    def queries(self, batch: SessionBatch) -> Any:
        """(B, D)."""
        ...


def scorer_of(model: Model) -> BestScorer:
    """The way that suits a model."""
    if isinstance(model, SparseScorer):
        return SparseBest(model)
    if isinstance(model, Encodes):
        # these import torch
        from nextclick.serving.search.dot_product import ProductBest
        from nextclick.serving.search.recurrent_state import RecurrentBest, Steps

        return RecurrentBest(model) if isinstance(model.encoder, Steps) else ProductBest(model)
    return DenseBest(model)


class SparseBest:
    """Of a model that lists the few items whose score depends on the session."""

    def __init__(self, model: SparseScorer):
        self.model = model
        self._base: SortedBase | None = None

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`."""
        sparse = self.model.score_sparse(batch_of(wishes))
        base = self._base  # held here: another thread may put its own in the place
        if base is None or not base.fits(sparse.base):
            base = self._base = SortedBase.of(sparse.base)
        return sparse_best(sparse, base, Filters.of(wishes))


class DenseBest:
    """Of a model that scores all items."""

    def __init__(self, model: Model):
        self.model = model

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`."""
        filters = Filters.of(wishes)
        found = Best.empty(filters)
        found.add(self.model.score(batch_of(wishes))[:, 1:], 1, filters)
        return found.lists()
