"""Approximate maximum inner product search: product quantization by faiss, re-ranked exactly.

The vectors are transformed to other axes, which leaves their products with queries unchanged. Each
vector is divided into parts of two axes, and each part is replaced by the nearest of 16
centroids (Jégou et al., Product Quantization for Nearest Neighbor Search, PAMI 2011). The score of
an item is approximated by a sum of table look-ups, which faiss reads from registers for 32 items at
once (André et al., Quicker ADC, PAMI 2019). The items with the best approximate scores are the
candidates. They are scored from the original table, so the scores of an answer are exact.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numba
import numpy as np

from nextclick.core.extra_packages import import_extra
from nextclick.core.filtered_topk import NO_MASK
from nextclick.core.filtered_topk_kernels import is_excluded
from nextclick.core.topk_kernels import insert
from nextclick.serving.search.bounded_exact import balancing_axes, with_bias, with_one
from nextclick.serving.search.bounded_kernels import NO_BIAS, score_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import BoolArray, Float32Array, Float64Array, Int32Array
    from nextclick.serving.request import ResolvedRequest

MIN_ITEMS = 1000  # a smaller table is too small to train 16 centroids
_AXES, _BITS = 2, 4  # of a part and of its code
_MAX_TRAINING = 50_000  # vectors from which the centroids are computed

_ITEMS_PER_CHUNK = 1 << 16  # vectors added at once, which bounds the memory
_MIN_SHARE = 1e-6  # of an axis on which the vectors are equal, relative to the largest share

_SIZE_STEP = 64  # requests with the same number of candidates are searched at once
_MASK_RESERVE = 1.3  # the share of allowed items varies among the candidates
_MAX_SHARE = 1 / 32  # candidates of all items; above, the exact search is as fast


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedIndex:
    """A table quantized to 2 bits for each axis.

    Attributes:
        codes: the index of faiss, with item i + 1 at position i.
        center: (D,) float64, subtracted from each vector: all scores of a query change alike.
        axes: (D, D) float64, the axes of items as columns.
        query_axes: (D, D) float64, those of queries.
        table: (N + 1, W) float32, the original table; D is W, or W + 1 with a bias, which is a
            coordinate of an item for a 1 in the query.
        bias: (N + 1,) float32, added to products; None for no bias.
        candidates_per_item: candidates for each requested item, of those that the filters allow.
    """

    codes: Any
    center: Float64Array
    axes: Float64Array
    query_axes: Float64Array
    table: Float32Array
    bias: Float32Array | None
    candidates_per_item: int = 1

    @classmethod
    def of(cls, table: Float32Array, bias: Float32Array | None, queries: Float32Array) -> Self:
        """Quantize a table of finite numbers.

        Args:
            table: (N + 1, W), item vectors; row 0 is padding.
            bias: (N + 1,), or None.
            queries: (n, W), sample queries. They determine which errors of quantization matter.

        Raises:
            SourceError: faiss is not installed.
        """
        faiss = import_faiss()
        faiss.omp_set_num_threads(1)
        items = np.arange(1, len(table), dtype=np.int32)
        sample = np.sort(np.random.default_rng(0).permutation(items)[:_MAX_TRAINING])
        vectors = with_bias(table, bias, sample)
        center = vectors.mean(axis=0)
        axes = _paired_axes(vectors - center, with_one(queries, len(center)))
        n_parts = -(-len(center) // _AXES)
        codes = faiss.IndexPQFastScan(n_parts * _AXES, n_parts, _BITS, faiss.METRIC_INNER_PRODUCT)
        query_axes = np.ascontiguousarray(np.linalg.inv(axes).T)
        index = cls(codes, center, axes, query_axes, table, bias)
        codes.train(index._vectors(sample))
        for start in range(0, len(items), _ITEMS_PER_CHUNK):
            codes.add(index._vectors(items[start : start + _ITEMS_PER_CHUNK]))
        return index

    def top(
        self, queries: Float32Array, requests: Sequence[ResolvedRequest]
    ) -> list[tuple[Int32Array, Float32Array] | None]:
        """The items to recommend for (B, W) queries; see `filtered_topk.TopK.lists`.

        Returns:
            Items and scores, best first, for each request. None if an exact search is needed: the
            query is not finite, the filters leave too few candidates, or the last item scores no
            more than every other candidate.
        """
        found: list[tuple[Int32Array, Float32Array] | None] = [None] * len(requests)
        sizes = np.array([self._n_candidates(request) for request in requests])
        sizes[(sizes > len(self.table) * _MAX_SHARE) | ~np.isfinite(queries).all(axis=1)] = 0
        for n in np.unique(sizes[sizes > 0]).tolist():
            rows = np.flatnonzero(sizes == n)
            for b, candidates in zip(
                rows.tolist(), self._candidates(queries[rows], n), strict=True
            ):
                found[b] = self._rerank(queries[b], requests[b], candidates)
        return found

    def _n_candidates(self, request: ResolvedRequest) -> int:
        """The number of candidates of which the filters leave enough, probably."""
        n = self.candidates_per_item * request.k
        if request.allowed is not None:
            n_allowed = max(int(np.count_nonzero(request.allowed[1:])), 1)
            n = int(_MASK_RESERVE * n * len(self.table) / n_allowed)
        n += len(request.excluded)
        return -(-n // _SIZE_STEP) * _SIZE_STEP

    def _candidates(self, queries: Float32Array, n: int) -> Int32Array:
        """(B, n) items with the best approximate scores, best first."""
        import_faiss().omp_set_num_threads(1)  # of this thread: a request uses one core
        on_axes = with_one(queries, len(self.center)) @ self.query_axes
        _, positions = self.codes.search(self._padded(on_axes), n)
        items: Int32Array = (positions + 1).astype(np.int32)
        return items

    def _vectors(self, items: Int32Array) -> Float32Array:
        """(n, D) centered vectors on the axes, padded with 0."""
        return self._padded((with_bias(self.table, self.bias, items) - self.center) @ self.axes)

    def _padded(self, rows: Float64Array) -> Float32Array:
        padded = np.zeros((len(rows), self.codes.d), dtype=np.float32)
        padded[:, : rows.shape[1]] = rows
        return padded

    def _rerank(
        self, query: Float32Array, request: ResolvedRequest, candidates: Int32Array
    ) -> tuple[Int32Array, Float32Array] | None:
        bias = NO_BIAS if self.bias is None else self.bias
        masks = NO_MASK if request.allowed is None else request.allowed[None]
        items, scores, lowest, n_allowed = best_of_candidates(
            candidates, self.table, bias, query, request.k, request.excluded, masks
        )
        is_enough = n_allowed >= self.candidates_per_item * request.k
        return (items, scores) if is_enough and scores[-1] > lowest else None


def _paired_axes(vectors: Float64Array, queries: Float64Array) -> Float64Array:
    """(D, D) axes on which the mean square of each query coordinate is 1.

    The squared error of an item on these axes is the expected squared error of its score. The axes
    with the largest share of the scores are paired with those with the smallest, so that each part
    of two axes has about the same share (Ge et al., Optimized Product Quantization, CVPR 2013).
    """
    axes = balancing_axes(vectors, queries)
    moments = np.square(vectors @ axes).mean(axis=0)  # of items and of queries
    axes *= np.sqrt(np.maximum(moments, _MIN_SHARE * moments.max() or 1.0))
    D = len(axes)
    order = np.empty(D, dtype=np.int64)
    order[0::2] = np.arange(-(-D // 2))
    order[1::2] = np.arange(D - 1, -(-D // 2) - 1, -1)
    paired: Float64Array = axes[:, order]
    return paired


def import_faiss() -> Any:
    """The package faiss.

    Raises:
        SourceError: it is not installed.
    """
    # it logs each instruction set that its package has no library for
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    return import_extra("faiss", "faiss", "--min-recall")


@numba.njit(cache=True, nogil=True)
def best_of_candidates(
    candidates: Int32Array,
    table: Float32Array,
    bias: Float32Array,
    query: Float32Array,
    k: int,
    excluded: Int32Array,
    masks: BoolArray,
) -> tuple[Int32Array, Float32Array, float, int]:
    """The top items of the candidates, their scores, the lowest score, and the number allowed."""
    # all scores first: their reads of memory overlap unless a branch waits for a score
    scores = np.empty(len(candidates), np.float32)
    lowest = np.inf
    for c in range(len(candidates)):
        scores[c] = score_item(table, bias, query, candidates[c])
        lowest = min(lowest, scores[c])
    best, items, n, n_allowed = np.empty(k, np.float32), np.empty(k, np.int32), 0, 0
    for c, item in enumerate(candidates):
        if item > 0 and not is_excluded(item, excluded, len(masks) - 1, masks):
            n = insert(best, items, n, float(scores[c]), item)
            n_allowed += 1
    return items[:n], best[:n], lowest, n_allowed
