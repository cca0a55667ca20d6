"""The best products of a query with a table, exactly, by reading a quarter of the table.

A product of a vector with all items takes as long as the items take to come out of memory. So the
table is kept a second time in bytes: a row x as s·n with whole numbers n in -127..127, the query q
as r·m with numbers of 16 bits. The product of the whole numbers tells the true one up to

    |q·x - r s (m·n)| ≤ ‖q‖ ‖x - s n‖ + ‖q - r m‖ ‖s n‖        (Cauchy & Schwarz)

An item whose upper bound lies below the K-th highest lower bound is none of the K best. What is
left, some dozens, is scored in float32. The answer is that of the exact search: nothing is
approximate but the sieve, and that errs on one side only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numba
import numpy as np

from nextclick.models.kernels import grow
from nextclick.serving.best import _is_hidden
from nextclick.topk import _insert

if TYPE_CHECKING:
    from nextclick.serving.best import Filters
    from nextclick.types import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array

_MOST = 127
_QUERY = 16_383
WIDEST = (2**31 - 1) // (_MOST * _QUERY)  # numbers of a vector whose product fits into 32 bits
_LANES = 32
_ROWS = 256  # of the table that all queries of a batch look at, one after the other
_FLOAT = 1e-6  # share of ‖q‖ ‖x‖ that sums in float32 may be off


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A table in bytes.

    Attributes:
        rows: (N + 1, W) int8, n, and zeros up to a width that vector instructions like.
        scale: (N + 1,) float32, s.
        off: (N + 1,) float32, ‖x - s n‖, and what sums in float32 may be off.
        length: (N + 1,) float32, ‖s n‖.
        table: (N + 1, D) float32, x.
        bias: (N + 1,) float32, added to products.
    """

    rows: AnyArray
    scale: Float32Array
    off: Float32Array
    length: Float32Array
    table: Float32Array
    bias: Float32Array

    @classmethod
    def of(cls, table: Float32Array, bias: Float32Array | None) -> Self:
        """Round a table of at most `WIDEST` columns."""
        n, width = table.shape
        rows = np.zeros((n, -(-width // _LANES) * _LANES), dtype=np.int8)
        scale, off, length = (np.empty(n, dtype=np.float32) for _ in range(3))
        _round(table, rows, scale, off, length)
        flat = np.zeros(n, dtype=np.float32) if bias is None else bias
        return cls(rows, scale, off, length, table, flat)

    def best(
        self, queries: Float32Array, filters: Filters
    ) -> list[tuple[Int32Array, Float32Array] | None]:
        """The recommended items of (B, D) queries, best first; see `best.Best.lists`.

        None for who cannot be answered so: a query that is not finite, or scores so alike that the
        bounds do not tell which is above the lowest one of all.
        """
        numbers, step, length, off = _rounded_queries(queries, self.rows.shape[1])
        found: list[tuple[Int32Array, Float32Array] | None] = []
        sieve = _sieve(
            self.rows, self.scale, self.off, self.length, self.bias,
            numbers, step, length, off, *filters,
        )  # fmt: skip
        for b, (items, ceiling) in enumerate(sieve):
            scores = _products(self.table, self.bias, items, queries[b])
            order = np.lexsort((items, -scores))[: filters.k[b]]
            if not np.isfinite(step[b]) or (len(order) and scores[order[-1]] <= ceiling):
                found.append(None)
            else:
                found.append((items[order], scores[order]))
        return found


def _rounded_queries(
    queries: Float32Array, width: int
) -> tuple[AnyArray, Float32Array, Float32Array, Float32Array]:
    """(B, W) int16 m, (B,) r, ‖q‖ and ‖q - r m‖."""
    with np.errstate(invalid="ignore"):
        step = np.abs(queries).max(axis=1) / np.float32(_QUERY)
        step[step == 0.0] = 1.0
        numbers = np.rint(queries / step[:, None])
        off = np.linalg.norm(queries - step[:, None] * numbers, axis=1)
        length = np.linalg.norm(queries, axis=1)
        padded = np.zeros((len(queries), width), dtype=np.int16)
    padded[:, : queries.shape[1]] = np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
    return padded, step, length, off


@numba.njit(cache=True, nogil=True)
def _round(
    table: Float32Array,
    rows: AnyArray,
    scale: Float32Array,
    off: Float32Array,
    length: Float32Array,
) -> None:
    for i in range(len(table)):
        highest = np.float32(0.0)
        for x in table[i]:
            highest = max(highest, abs(x))
        step = highest / np.float32(_MOST) if highest > 0 else np.float32(1.0)
        far, long = 0.0, 0.0
        for j, x in enumerate(table[i]):
            n = np.rint(x / step)
            rows[i, j] = np.int8(n)
            far += (x - step * n) ** 2
            long += (step * n) ** 2
        scale[i], length[i] = step, np.sqrt(long)
        off[i] = np.sqrt(far) + _FLOAT * (np.sqrt(long) + np.sqrt(far))


@numba.njit(cache=True, nogil=True)
def _dots(rows: AnyArray, numbers: AnyArray, out: Int32Array) -> None:
    for i in range(len(rows)):
        total = np.int32(0)
        for j in range(len(numbers)):
            total = np.int32(total + np.int32(np.int32(rows[i, j]) * np.int32(numbers[j])))
        out[i] = total


# the highest and lowest may be taken in any order, so that they use vectors
@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _upper_bounds(
    dots: Int32Array,
    scale: Float32Array,
    off: Float32Array,
    length: Float32Array,
    bias: Float32Array,
    step: float,
    query_length: float,
    query_off: float,
    tops: Float32Array,
) -> tuple[float, float]:
    least, most = np.float32(np.inf), np.float32(-np.inf)
    for j in range(len(scale)):
        error = query_length * off[j] + query_off * length[j]
        top = step * scale[j] * np.float32(dots[j]) + bias[j] + error
        tops[j] = top
        least, most = min(least, top), max(most, top)
    return float(least), float(most)


@numba.njit(cache=True, nogil=True)
def _sieve(  # noqa: C901
    rows: AnyArray,
    scale: Float32Array,
    off: Float32Array,
    length: Float32Array,
    bias: Float32Array,
    numbers: AnyArray,
    step: Float32Array,
    query_length: Float32Array,
    query_off: Float32Array,
    k: Int64Array,
    hidden_offsets: Int64Array,
    hidden: Int32Array,
    mask_of: Int64Array,
    masks: BoolArray,
) -> list[tuple[Int32Array, float]]:
    """For each query the items that may be among its best, and what the lowest score is at most."""
    B, N, K = len(numbers), len(rows), k.max()
    floor = np.empty((B, K), np.float32)  # lower bounds, the highest first
    owner = np.empty((B, K), np.int32)
    filled = np.zeros(B, np.int64)
    ceiling = np.full(B, np.inf, np.float32)
    items = [np.empty(1024, np.int32) for _ in range(B)]
    upper = [np.empty(1024, np.float32) for _ in range(B)]
    n = np.zeros(B, np.int64)
    dots = np.empty(_ROWS, np.int32)
    tops = np.empty(_ROWS, np.float32)
    for start in range(1, N, _ROWS):
        stop = min(start + _ROWS, N)
        for b in range(B):
            _dots(rows[start:stop], numbers[b], dots)
            part = slice(start, stop)
            least, most = _upper_bounds(
                dots, scale[part], off[part], length[part], bias[part],
                step[b], query_length[b], query_off[b], tops,
            )  # fmt: skip
            ceiling[b] = min(ceiling[b], least)
            if filled[b] == k[b] and most < floor[b, k[b] - 1]:
                continue
            hides = hidden[hidden_offsets[b] : hidden_offsets[b + 1]]
            for j in range(stop - start):
                i = start + j
                if filled[b] == k[b] and tops[j] < floor[b, k[b] - 1]:
                    continue
                if _is_hidden(i, hides, mask_of[b], masks):
                    continue
                if n[b] == len(items[b]):
                    items[b] = grow(items[b], n[b], 1)
                    upper[b] = grow(upper[b], n[b], 1)
                items[b][n[b]], upper[b][n[b]] = i, tops[j]
                n[b] += 1
                error = query_length[b] * off[i] + query_off[b] * length[i]
                low = tops[j] - np.float32(2.0) * error
                if filled[b] < k[b] or low > floor[b, k[b] - 1]:
                    filled[b] = _insert(floor[b, : k[b]], owner[b, : k[b]], filled[b], low, i)
    found = []
    for b in range(B):
        listed = items[b][: n[b]]
        if filled[b] == k[b]:
            listed = listed[upper[b][: n[b]] >= floor[b, k[b] - 1]]
        found.append((listed.copy(), float(ceiling[b])))
    return found


@numba.njit(cache=True, nogil=True)
def _products(
    table: Float32Array, bias: Float32Array, items: Int32Array, query: Float32Array
) -> Float32Array:
    scores = np.empty(len(items), np.float32)
    for at, item in enumerate(items):
        total = 0.0
        for j in range(len(query)):
            total += table[item, j] * query[j]
        scores[at] = total + bias[item]
    return scores
