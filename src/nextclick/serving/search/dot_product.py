"""Top-k search for models whose scores are dot products of a query and an item table."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from nextclick.core.filtered_topk import CandidateFilter, TopK
from nextclick.core.session_batch import SessionBatch
from nextclick.serving.request import to_batch
from nextclick.serving.search.bounded_exact import BoundedIndex
from nextclick.serving.search.byte_index import ByteIndex, has_equal_lengths
from nextclick.serving.search.search_check import calibrate_index
from nextclick.serving.search.searcher import Searcher
from nextclick.serving.search.session_encoders import session_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array
    from nextclick.models.base import Model
    from nextclick.models.exported.exported_model import ExportedModel
    from nextclick.models.neural_model import NeuralModel
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.quantized_index import QuantizedIndex
    from nextclick.serving.search.searcher import ScoredItems

ProductModel: TypeAlias = "NeuralModel | ExportedModel"

_SCORES_PER_BLOCK = 1 << 17  # 512 KiB: a block is read while it is still in the cache
_MIN_INDEXED_SIZE = 1 << 18  # numbers of a table; a smaller one is scored in about 0.1 ms
_SAMPLE_QUERIES = 512  # random sessions whose queries determine the axes of the index
# In a matrix product of n queries, one query costs about _FIXED_COST + _SHARED_COST / n of reading
# the whole index; measured with tables of 100,000 x 50, 100,000 x 100 and 1,000,000 x 64.
_FIXED_COST, _SHARED_COST = 0.25, 4.0


class DotProductSearcher(Searcher):
    """Scores every item block by block; a large table has an index that skips most items.

    Attributes:
        index: the index of a large table, for an exact search, or None.
        approximate: the index of an approximate search, or None for an exact search.
    """

    def __init__(self, model: ProductModel):
        self.model = model
        self.table, self.bias = model.item_vectors()  # (N + 1, D), (N + 1,) or None
        self.encoder = session_encoder(model)
        self.index: BoundedIndex | ByteIndex | None = None
        self.approximate: QuantizedIndex | None = None
        if self.table.size >= _MIN_INDEXED_SIZE:
            self.index = self._build_index()

    def top(self, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """See `Searcher`; a session without known clicks gets no item without `first_click`."""
        lists: ScoredItems = [(np.empty(0, np.int32), np.empty(0, np.float32)) for _ in requests]
        first_click = self.model.capabilities.first_click
        rows = [b for b, request in enumerate(requests) if len(request.clicks) or first_click]
        if not rows:
            return lists
        encoded = [requests[b] for b in rows]
        results = self.search(self.queries(encoded), encoded)
        for b, result in zip(rows, results, strict=True):
            lists[b] = result
        return lists

    def with_model(self, model: Model) -> Searcher:
        """See `Searcher`; the index is shared."""
        searcher = copy.copy(self)
        searcher.model = cast("ProductModel", model)
        return searcher

    def calibrate(
        self, requests: Sequence[ResolvedRequest], min_recall: float
    ) -> dict[str, object]:
        """See `Searcher`."""
        return calibrate_index(self, requests, min_recall)

    def queries(self, requests: Sequence[ResolvedRequest]) -> Float32Array:
        """(B, D) of requests with at least one click."""
        if self.encoder is not None:
            return np.stack([self.encoder.query(one) for one in requests])
        queries: Float32Array = self.model.queries(to_batch(requests))
        return queries

    def search(self, queries: Float32Array, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """The items with the largest dot products, by an index where that is faster."""
        if self.approximate is None:
            return self.search_exactly(queries, requests)
        found = self.approximate.top(queries, requests)
        return [
            result or self.search_exactly(queries[b : b + 1], requests[b : b + 1])[0]
            for b, result in enumerate(found)
        ]

    def search_exactly(
        self, queries: Float32Array, requests: Sequence[ResolvedRequest]
    ) -> ScoredItems:
        """The same without an approximation."""
        if self.index is None:
            return self.search_all(queries, requests)
        lists: ScoredItems = []
        share_read = 0.0
        for b, request in enumerate(requests):
            if share_read > _FIXED_COST + _SHARED_COST / (len(requests) - b):
                return lists + self.search_all(queries[b:], requests[b:])
            result, share_read = self.index.top(queries[b], request)
            if result is None:
                lists += self.search_all(queries[b : b + 1], [request])
            else:
                lists.append(result)
        return lists

    def search_all(self, queries: Float32Array, requests: Sequence[ResolvedRequest]) -> ScoredItems:
        """The same by scoring every item."""
        candidates = CandidateFilter.of(requests)
        top = TopK.empty(candidates)
        N, B = len(self.table), len(queries)
        width = max(_SCORES_PER_BLOCK // B, 1024)
        buffer = np.empty((B, min(width, N - 1)), dtype=np.float32)
        for first in range(1, N, width):
            last = min(first + width, N)
            scores = buffer[:, : last - first]  # (B, W)
            if B == 1:  # matrix-vector products have a faster kernel
                np.matmul(self.table[first:last], queries[0], out=scores[0])
            else:
                np.matmul(queries, self.table[first:last].T, out=scores)
            if self.bias is not None:
                scores += self.bias[first:last]
            top.add(scores, first, candidates)
        return top.lists()

    def _build_index(self) -> BoundedIndex | ByteIndex | None:
        """The index that suits the table; None if a number is not finite."""
        table, bias = self.table, self.bias
        queries = self.sample_queries()
        arrays = [array for array in (table, bias, queries) if array is not None]
        if not all(np.isfinite(array).all() for array in arrays):
            return None
        if bias is None and has_equal_lengths(table):
            return ByteIndex.of(table)
        return BoundedIndex.of(table, bias, queries)

    def sample_queries(self) -> Float32Array:
        """(n, D) queries of random sessions of one to three items."""
        shape = (_SAMPLE_QUERIES, 3)
        drawn = np.random.default_rng(0).integers(1, len(self.table), shape, dtype=np.int32)
        batch = SessionBatch.from_lists([items[: 1 + n % 3] for n, items in enumerate(drawn)])
        users = np.zeros(_SAMPLE_QUERIES, dtype=np.int32)
        queries: Float32Array = self.model.queries(replace(batch, users=users))
        return queries
