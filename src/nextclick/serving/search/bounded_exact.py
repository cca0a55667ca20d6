"""Exact maximum inner product search that skips most of the table by upper bounds.

The table is centered, which shifts all scores of a query by the same amount, and transformed to
other axes, x F for items and q F⁻ᵀ for queries, which leaves dot products unchanged. F is the
balancing transformation (Moore, Principal Component Analysis in Linear Systems, 1981) of the second
moments of items and queries: on its axes both are diagonal and equal, so the axes that contribute
most to the products come first. Three bounds exclude items from the top K:

- items are sorted by norm, the largest first: once ‖q‖ ‖x‖ is below the K-th best score, all
  following items are excluded (Teflioudi et al., LEMP, SIGMOD 2015);
- the leading axes contribute most of a product: the remaining ones add at most ‖q'‖ ‖x'‖ of the
  remaining parts of both vectors (Li et al., FEXIPRO, SIGMOD 2017);
- coordinates are quantized to 4 bits, x ≈ s·w·n with an integer n in -7..7, a scale w of the axis,
  and a scale s of 16 axes of 64 items. The product of q with the quantization error is at most
  ‖q‖ ‖x - s w n‖. The error of the quantized query is bounded in the same way.

All bounds follow from the Cauchy–Schwarz inequality and are evaluated for blocks of 64 items. Items
that no bound excludes, some hundreds, are scored from the original table. The result equals that
of an exhaustive search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.core.filtered_topk import NO_MASK
from nextclick.serving.search.bounded_kernels import (
    AXES,
    LANES,
    NO_BIAS,
    quantize,
    quantize_query,
    search_blocks,
    transform_query,
)

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array
    from nextclick.serving.request import ResolvedRequest

_ITEMS_PER_CHUNK = 1 << 16  # items transformed at once in float64, which bounds the memory
# lower limits of the second moments, as shares of their mean: directions unseen in the sample
_MIN_ITEM_MOMENT, _MIN_QUERY_MOMENT = 1e-6, 0.03


@dataclass(frozen=True, slots=True, eq=False)
class BoundedIndex:
    """A table quantized to 4 bits: M blocks of 64 items, G groups of 16 axes.

    Attributes:
        codes: (G, M, 4, 64) uint16, n + 8 of four axes, the first axis in the lowest bits.
        scale: (G, M) float32, s.
        axis_scale: (G, 16) float64, w.
        error: (M, 64) float32, ‖x - s w n‖ plus the rounding error of float32 sums.
        max_error: (M,) float32, the maximum of a block.
        tail_norm: (M, G + 1) float32, the largest norm of x restricted to groups g, g + 1, …
        max_norm: (M,) float32, the largest norm in this and all later blocks.
        items: (N,) int32, the item at each position.
        center: (D,) float64, subtracted from each x.
        transform: (D, D) float64, F⁻ᵀ, a column for each axis.
        table: (N + 1, W) float32, the original table; D is W, or W + 1 with a bias, which is a
            coordinate of x for a 1 in q.
        bias: (N + 1,) float32, added to products; None for no bias.
    """

    codes: AnyArray
    scale: Float32Array
    axis_scale: Float64Array
    error: Float32Array
    max_error: Float32Array
    tail_norm: Float32Array
    max_norm: Float32Array
    items: Int32Array
    center: Float64Array
    transform: Float64Array
    table: Float32Array
    bias: Float32Array | None

    @classmethod
    def of(cls, table: Float32Array, bias: Float32Array | None, queries: Float32Array) -> Self:
        """Quantize a table of finite numbers.

        Args:
            table: (N + 1, W), item vectors; row 0 is padding.
            bias: (N + 1,), or None.
            queries: (n, W), sample queries. They affect the speed of the search, not its result.
        """
        indices = np.arange(1, len(table), dtype=np.int32)
        sample = with_bias(table, bias, indices[:: len(indices) // _ITEMS_PER_CHUNK + 1])
        center = sample.mean(axis=0)
        axes = balancing_axes(sample - center, with_one(queries, len(center)))

        def transform(chunk: Int32Array) -> Float64Array:
            on_axes: Float64Array = (with_bias(table, bias, chunk) - center) @ axes
            return on_axes

        norms = [
            np.linalg.norm(transform(indices[start : start + _ITEMS_PER_CHUNK]), axis=1)
            for start in range(0, len(indices), _ITEMS_PER_CHUNK)
        ]
        items = indices[np.argsort(-np.concatenate(norms), kind="stable")]
        G, M = -(-len(axes) // AXES), -(-len(items) // LANES)
        axis_scale = _axis_scales((sample - center) @ axes, G)
        codes = np.empty((G, M, AXES // 4, LANES), dtype=np.uint16)
        scale = np.empty((G, M), dtype=np.float32)
        tail_norm = np.zeros((M, G + 1), dtype=np.float32)
        error = np.empty((M, LANES), dtype=np.float32)
        step = _ITEMS_PER_CHUNK // LANES
        for start in range(0, M, step):
            blocks = slice(start, start + step)
            chunk = transform(items[start * LANES :][:_ITEMS_PER_CHUNK])
            # padding is zero, which is the center
            chunk = np.pad(chunk, ((0, -len(chunk) % LANES), (0, -len(axes) % AXES)))
            quantize(
                chunk, axis_scale, codes[:, blocks], scale[:, blocks], tail_norm[blocks],
                error[blocks],
            )  # fmt: skip
        max_error = error.max(axis=1)
        max_norm = np.maximum.accumulate((tail_norm[:, 0] + max_error)[::-1])[::-1].copy()
        return cls(
            codes, scale, axis_scale, error, max_error, tail_norm, max_norm, items, center,
            np.ascontiguousarray(np.linalg.inv(axes).T), table, bias,
        )  # fmt: skip

    def top(
        self, query: Float32Array, request: ResolvedRequest
    ) -> tuple[tuple[Int32Array, Float32Array] | None, float]:
        """The items to recommend for a query, best first; see `filtered_topk.TopK.lists`.

        Args:
            query: (D,), of one session.
            request: number of items and candidate filter.

        Returns:
            Items and scores, and the share of codes that was read. The former are None if the
            search cannot decide: the query is not finite, or the K-th item scores no more than
            the lowest score seen.
        """
        if not np.isfinite(query).all():
            return None, 0.0
        groups, tails, shift = transform_query(
            query, self.center, self.transform, len(self.axis_scale)
        )
        codes, starts, step, error = quantize_query(groups, self.axis_scale)
        bias = NO_BIAS if self.bias is None else self.bias
        masks = NO_MASK if request.allowed is None else request.allowed[None]
        items, scores, lowest, share_read = search_blocks(
            self.codes, self.scale, self.error, self.max_error, self.tail_norm, self.max_norm,
            self.items, self.table, bias, query, codes, starts, step, tails, error,
            shift, request.k, request.excluded, masks,
        )  # fmt: skip
        decided = len(scores) == 0 or scores[-1] > lowest
        return (items, scores) if decided else None, share_read


def with_bias(table: Float32Array, bias: Float32Array | None, items: Int32Array) -> Float64Array:
    """(n, D) item vectors; a bias is the last column."""
    vectors = table[items].astype(np.float64)
    return vectors if bias is None else np.column_stack([vectors, bias[items]])


def with_one(queries: Float32Array, width: int) -> Float64Array:
    """(n, D) queries; the coordinate of a bias is 1."""
    padded = np.ones((len(queries), width))
    padded[:, : queries.shape[1]] = queries
    return padded


def balancing_axes(vectors: Float64Array, queries: Float64Array) -> Float64Array:
    """F (D, D): x F and q F⁻ᵀ have equal, descending mean squares on each axis."""
    root = np.linalg.cholesky(_moments(vectors, _MIN_ITEM_MOMENT))
    eigenvalues, axes = np.linalg.eigh(root.T @ _moments(queries, _MIN_QUERY_MOMENT) @ root)
    balanced: Float64Array = np.linalg.solve(root.T, axes[:, ::-1])
    balanced *= np.maximum(eigenvalues[::-1], 1e-30) ** 0.25
    return balanced


def _moments(rows: Float64Array, min_share: float) -> Float64Array:
    """(D, D) second moments; each direction has at least the given share of their mean."""
    moments: Float64Array = rows.T @ rows / len(rows)
    moments += min_share * (np.trace(moments) / len(moments) or 1.0) * np.eye(len(moments))
    return moments


def _axis_scales(vectors: Float64Array, n_groups: int) -> Float64Array:
    """(G, 16) root mean square of each axis; 1 for an axis of zeros."""
    scales = np.zeros(n_groups * AXES)
    scales[: vectors.shape[1]] = np.sqrt(np.square(vectors).mean(axis=0))
    scales[scales == 0.0] = 1.0
    return scales.reshape(n_groups, AXES)
