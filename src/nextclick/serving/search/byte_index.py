"""Exact maximum inner product search over vectors of equal length, by a scan of rounded vectors.

Bounds by length and by leading axes, as in `bounded_exact`, exclude nothing if all vectors have the
same length and no direction prevails: the scores of a cosine model are the worst case of both. Here
every item is scored, with coordinates rounded to 8 bits: x ≈ s·n with an integer n in -127..127 and
a scale s of the item, which reads a quarter of the table. The query is rounded to 16 bits, q ≈ t·m.
With rounding errors e = x - s n and f = q - t m, by the Cauchy–Schwarz inequality

    |q·x - s t (m·n)| ≤ ‖q‖ ‖e‖ + ‖f‖ (‖x‖ + ‖e‖).

The k-th best score is at least the k-th best rounded score less this error. Items whose rounded
score is lower by more than twice the error are excluded; the others, hardly more than k, are scored
from the original table. The result equals that of an exhaustive search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numba
import numpy as np

from nextclick.core.filtered_topk import NO_MASK
from nextclick.core.filtered_topk_kernels import is_excluded
from nextclick.core.topk_kernels import insert
from nextclick.models.ops.kernels import kth_largest
from nextclick.serving.search.bounded_kernels import NO_BIAS, score_item

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array
    from nextclick.serving.request import ResolvedRequest

_GROUP = 128  # coordinates of a row that are multiplied by one unrolled loop
_CHUNK = 64  # items; a chunk whose highest score is too low is skipped
_MAX_CODE = 127
_MAX_QUERY_CODE, _MAX_SUM = 2**15 - 1, 2**31 - 1  # products of a row fit into 32 bits
_MAX_SPREAD = 1.01  # longest over shortest vector
_FLOAT_ERROR = 2.0**-21  # of the roundings to float32
_SHARE_READ = 0.5  # what one query costs, as a share of reading the index of `bounded_exact`


@dataclass(frozen=True, slots=True, eq=False)
class ByteIndex:
    """A table rounded to 8 bits, in groups of 128 coordinates.

    Attributes:
        codes: (N, G, 128) int8, n of items 1..N; padded with 0.
        scale: (N,) float32, s.
        error: the largest ‖e‖.
        length: the largest ‖x‖.
        table: (N + 1, D) float32, the original table.
    """

    codes: AnyArray
    scale: Float32Array
    error: float
    length: float
    table: Float32Array

    @classmethod
    def of(cls, table: Float32Array) -> Self:
        """Round a table of finite numbers, (N + 1, D); row 0 is padding."""
        N, D = len(table) - 1, table.shape[1]
        G = -(-D // _GROUP)
        codes = np.zeros((N, G, _GROUP), dtype=np.int8)
        scale = np.empty(N, dtype=np.float32)
        error, length = round_rows(table[1:], codes.reshape(N, G * _GROUP), scale)
        return cls(codes, scale, error, length, table)

    def top(
        self, query: Float32Array, request: ResolvedRequest
    ) -> tuple[tuple[Int32Array, Float32Array] | None, float]:
        """See `BoundedIndex.top`."""
        if not np.isfinite(query).all():
            return None, 0.0
        N, G, _ = self.codes.shape
        codes = np.zeros((G, _GROUP), dtype=np.int16)
        step, lost = round_query(query, codes.reshape(-1))
        size = float(np.linalg.norm(query.astype(np.float64)))
        slack = size * self.error + lost * (self.length + self.error)
        slack += _FLOAT_ERROR * size * self.length
        rounded, highest = np.empty(N, np.float32), np.empty(-(-N // _CHUNK), np.float32)
        score_codes(self.codes, self.scale, codes, step, rounded, highest)
        masks = NO_MASK if request.allowed is None else request.allowed[None]
        items, scores, lowest = best_of_rounded(
            rounded, highest, slack, self.table, query, request.k, request.excluded, masks
        )
        decided = len(scores) == 0 or scores[-1] > lowest
        return (items, scores) if decided else None, _SHARE_READ


def has_equal_lengths(table: Float32Array) -> bool:
    """Whether the vectors of items 1..N, (N + 1, D), have the same length, within 1 %."""
    lengths = np.linalg.norm(table[1:], axis=1)
    return bool(lengths.min() > 0 and lengths.max() <= _MAX_SPREAD * lengths.min())


@numba.njit(cache=True, nogil=True)
def round_rows(rows: Float32Array, codes: AnyArray, scale: Float32Array) -> tuple[float, float]:
    """Fill (N, ≥ D) codes and (N,) scales of (N, D) rows; the largest ‖e‖ and the largest ‖x‖."""
    error = length = 0.0
    for i in range(len(rows)):
        step = np.float64(np.float32(np.abs(rows[i]).max() / _MAX_CODE)) or 1.0
        scale[i] = step
        lost = squared = 0.0
        for j in range(rows.shape[1]):
            x = np.float64(rows[i, j])
            n = min(max(np.rint(x / step), -_MAX_CODE), _MAX_CODE)
            codes[i, j] = n
            lost += (x - step * n) ** 2
            squared += x * x
        error, length = max(error, lost), max(length, squared)
    return np.sqrt(error), np.sqrt(length)


@numba.njit(cache=True, nogil=True)
def round_query(query: Float32Array, codes: AnyArray) -> tuple[float, float]:
    """Fill (≥ D,) codes of a (D,) query; t and ‖f‖."""
    largest = min(_MAX_QUERY_CODE, _MAX_SUM // (_MAX_CODE * len(query)))
    step = np.float64(np.float32(np.abs(query).max() / largest)) or 1.0
    lost = 0.0
    for j in range(len(query)):
        x = np.float64(query[j])
        m = min(max(np.rint(x / step), -largest), largest)
        codes[j] = m
        lost += (x - step * m) ** 2
    return step, np.sqrt(lost)


@numba.njit(cache=True, nogil=True)
def score_codes(
    codes: AnyArray,
    scale: Float32Array,
    query: AnyArray,
    step: float,
    scores: Float32Array,
    highest: Float32Array,
) -> None:
    """Fill (N,) rounded scores s t (m·n), and the highest of each chunk of 64."""
    times = np.float32(step)
    totals = np.empty(_CHUNK, np.int32)
    for chunk in range(len(highest)):
        first, stop = chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(codes))
        totals[:] = 0
        for g in range(len(query)):
            for i in range(first, stop):
                totals[i - first] = np.int32(totals[i - first] + _dot(codes[i, g], query[g]))
        high = np.float32(-np.inf)
        for i in range(first, stop):
            scores[i] = times * scale[i] * np.float32(totals[i - first])
            high = max(high, scores[i])
        highest[chunk] = high


@numba.njit(cache=True, nogil=True)
def _dot(codes: AnyArray, query: AnyArray) -> Any:
    total = np.int32(0)
    for j in range(_GROUP):
        # without these conversions the sum has 64 bits
        total = np.int32(total + np.int32(np.int32(codes[j]) * np.int32(query[j])))
    return total


@numba.njit(cache=True, nogil=True)
def best_of_rounded(
    rounded: Float32Array,
    highest: Float32Array,
    slack: float,
    table: Float32Array,
    query: Float32Array,
    k: int,
    excluded: Int32Array,
    masks: BoolArray,
) -> tuple[Int32Array, Float32Array, float]:
    """The top items, their scores, and a score that some item does not exceed."""
    mask = len(masks) - 1
    floor = -np.inf
    n_needed = k + len(excluded)
    if mask < 0 and n_needed <= len(highest):
        floor = kth_largest(highest, n_needed) - 2 * slack  # k allowed items have a higher score
    candidates = _at_least(floor, rounded, highest, excluded, masks)
    if len(candidates) > k:
        floor = kth_largest(rounded[candidates - 1], k) - 2 * slack
        candidates = candidates[rounded[candidates - 1] >= floor]
    # all scores first: their reads of memory overlap unless a branch waits for a score
    exact = np.empty(len(candidates), np.float32)
    for c in range(len(candidates)):
        exact[c] = score_item(table, NO_BIAS, query, candidates[c])
    scores, items, n = np.empty(k, np.float32), np.empty(k, np.int32), 0
    for c in range(len(candidates)):
        n = insert(scores, items, n, exact[c], candidates[c])
    return items[:n], scores[:n], rounded[:_CHUNK].min() + slack


@numba.njit(cache=True, nogil=True)
def _at_least(
    floor: float,
    rounded: Float32Array,
    highest: Float32Array,
    excluded: Int32Array,
    masks: BoolArray,
) -> Int32Array:
    """The allowed items with a rounded score of at least `floor`, ascending."""
    items, n = np.empty(1024, np.int32), 0
    for chunk in range(len(highest)):
        if highest[chunk] < floor:
            continue
        if n + _CHUNK > len(items):
            items = np.concatenate((items, np.empty_like(items)))
        for i in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(rounded))):
            if rounded[i] >= floor and not is_excluded(i + 1, excluded, len(masks) - 1, masks):
                items[n] = i + 1
                n += 1
    return items[:n]
