"""Kernels of `bounded_exact`: quantization, and the search of quantized blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from nextclick.core.filtered_topk_kernels import is_excluded
from nextclick.core.topk_kernels import insert

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Float64Array, Int32Array

LANES = 64  # items of a block
AXES = 16  # axes of a group; the bound is checked after each group
NO_BIAS = np.empty(0, dtype=np.float32)  # of a table without biases
_MAX_CODE, _CODE_OFFSET = 7, 8  # codes -7..7 are stored as 1..15
_MAX_QUERY_CODE = 127  # products of 16 axes fit into 16 bits
# candidate clipping ranges, as shares of the largest coordinate; the one of least error is used
_RANGES = (1.0, 0.85, 0.7, 0.55, 0.4)
_FLOAT_ERROR = 2.0**-23  # two roundings to float32


@numba.njit(cache=True, nogil=True)
def quantize(
    x: Float64Array,
    axis_scale: Float64Array,
    codes: AnyArray,
    scale: Float32Array,
    tail_norm: Float32Array,
    error: Float32Array,
) -> None:
    """Fill the arrays of `BoundedIndex` from (64 M, 16 G) transformed vectors."""
    G, M = codes.shape[:2]
    n = np.empty((LANES, AXES))
    for m in range(M):
        block = x[m * LANES : (m + 1) * LANES]
        tail, lost = np.zeros(LANES), np.zeros(LANES)
        for g in range(G - 1, -1, -1):
            group = block[:, g * AXES : (g + 1) * AXES]
            widest = np.abs(group / axis_scale[g]).max() / _MAX_CODE
            smallest, s = np.inf, 1.0
            for share in _RANGES:
                step = np.float64(np.float32(share * widest)) or 1.0
                lost_here = _squared_errors(group, step * axis_scale[g]).max()
                if lost_here < smallest:
                    smallest, s = lost_here, step
            scale[g, m] = s
            lost += _squared_errors(group, s * axis_scale[g])
            for j in range(LANES):
                for k in range(AXES):
                    n[j, k] = _code(group[j, k], s * axis_scale[g, k])
                    tail[j] += group[j, k] ** 2
                for k in range(0, AXES, 4):
                    packed = 0
                    for axis in range(4):
                        packed |= int(n[j, k + axis] + _CODE_OFFSET) << 4 * axis
                    codes[g, m, k // 4, j] = packed
            tail_norm[m, g] = np.sqrt(tail.max())
        distance = np.sqrt(lost)
        error[m] = distance + _FLOAT_ERROR * (G * AXES) * (tail_norm[m, 0] + distance)


@numba.njit(cache=True, nogil=True)
def _code(x: float, step: float) -> float:
    return float(min(max(np.rint(x / step), -_MAX_CODE), _MAX_CODE))


@numba.njit(cache=True, nogil=True)
def _squared_errors(x: Float64Array, steps: Float64Array) -> Float64Array:
    """(n,) squared quantization errors of (n, 16) coordinates with the given steps."""
    errors = np.zeros(len(x))
    for j in range(len(x)):
        for k in range(AXES):
            errors[j] += (x[j, k] - steps[k] * _code(x[j, k], steps[k])) ** 2
    return errors


@numba.njit(cache=True, nogil=True)
def transform_query(
    query: Float32Array, center: Float64Array, transform: Float64Array, n_groups: int
) -> tuple[Float32Array, Float64Array, float]:
    """(G, 16) query on the axes, (G + 1,) norms of its tails, and q · center."""
    on_axes, shift = np.zeros(n_groups * AXES), 0.0
    for j in range(len(center)):
        x = np.float64(query[j]) if j < len(query) else 1.0  # for the bias
        shift += x * center[j]
        for axis in range(len(center)):
            on_axes[axis] += x * transform[j, axis]
    groups = on_axes.astype(np.float32).reshape(n_groups, AXES)
    tails = np.zeros(n_groups + 1)
    for g in range(n_groups - 1, -1, -1):
        tails[g] = tails[g + 1]
        for x in groups[g]:
            tails[g] += np.float64(x) * np.float64(x)
    return groups, np.sqrt(tails), shift


@numba.njit(cache=True, nogil=True)
def quantize_query(
    query: Float32Array, axis_scale: Float64Array
) -> tuple[AnyArray, AnyArray, Float32Array, float]:
    """(G, 16) int16 n in q w = t n, (G,) sums of the code offset, (G,) t, and the error of q."""
    codes, starts = np.empty(query.shape, dtype=np.int16), np.empty(len(query), dtype=np.int16)
    steps, squared = np.empty(len(query), dtype=np.float32), 0.0
    for g in range(len(query)):
        steps[g] = np.abs(query[g] * axis_scale[g]).max() / _MAX_QUERY_CODE
        steps[g] = steps[g] or 1.0
        step = np.float64(steps[g])
        for k in range(AXES):
            n = np.rint(query[g, k] * axis_scale[g, k] / step)
            codes[g, k] = n
            squared += (query[g, k] - n * step / axis_scale[g, k]) ** 2
        starts[g] = -_CODE_OFFSET * codes[g].sum()
    return codes, starts, steps, np.sqrt(squared)


@numba.njit(cache=True, nogil=True, inline="always")
def _dot4(packed: int, a: int, b: int, c: int, d: int) -> Any:
    """The dot product on four axes in 16-bit arithmetic, which fits many lanes in a register."""
    low = np.uint16(15)
    p = np.int16(packed & low)
    q = np.int16(np.uint16(packed >> np.uint16(4)) & low)
    r = np.int16(np.uint16(packed >> np.uint16(8)) & low)
    s = np.int16(packed >> np.uint16(12))
    first = np.int16(np.int16(a * p) + np.int16(b * q))
    return np.int16(first + np.int16(np.int16(c * r) + np.int16(d * s)))


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def _add_group(codes: AnyArray, step: float, q: AnyArray, start: int, sums: Float32Array) -> None:
    """Add the dot products on 16 axes to the (64,) sums."""
    times = np.float32(step)
    for j in range(LANES):
        first = np.int16(_dot4(codes[0, j], q[0], q[1], q[2], q[3]) + np.int16(start))
        second = _dot4(codes[1, j], q[4], q[5], q[6], q[7])
        third = _dot4(codes[2, j], q[8], q[9], q[10], q[11])
        fourth = _dot4(codes[3, j], q[12], q[13], q[14], q[15])
        total = np.int16(np.int16(first + second) + np.int16(third + fourth))
        sums[j] += times * np.float32(total)


@numba.njit(cache=True, nogil=True)
def _any_reaches(sums: Float32Array, threshold: float) -> bool:
    """Whether any of the (64,) sums reaches the threshold, within rounding."""
    level = np.float32(threshold - _FLOAT_ERROR * abs(threshold))
    n = np.int32(0)
    for j in range(LANES):
        n += np.int32(sums[j] >= level)
    return bool(n > 0)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def score_item(table: Float32Array, bias: Float32Array, query: Float32Array, item: int) -> float:
    """The score of an item, rounded to float32; an empty bias is none."""
    total = 0.0
    for j in range(len(query)):
        total += np.float64(table[item, j]) * np.float64(query[j])
    if len(bias):
        total += np.float64(bias[item])
    return float(np.float32(total))


@numba.njit(cache=True, nogil=True)
def search_blocks(
    codes: AnyArray,
    scale: Float32Array,
    error: Float32Array,
    max_error: Float32Array,
    tail_norm: Float32Array,
    max_norm: Float32Array,
    items: Int32Array,
    table: Float32Array,
    bias: Float32Array,
    query: Float32Array,
    query_codes: AnyArray,
    starts: AnyArray,
    step: Float32Array,
    tails: Float64Array,
    query_error: float,
    center: float,
    k: int,
    excluded: Int32Array,
    masks: BoolArray,
) -> tuple[Int32Array, Float32Array, float, float]:
    """The top items, their scores, the lowest score seen, and the share of groups read."""
    G, M = codes.shape[:2]
    top_scores, top_items, n = np.empty(k, np.float32), np.empty(k, np.int32), 0
    lowest, read = np.inf, 0
    for item in items[:LANES]:
        lowest = min(lowest, score_item(table, bias, query, item))
    mask = len(masks) - 1
    floor = -np.inf  # an item with a lower bound is not among the top k
    sums = np.empty(LANES, np.float32)
    for m in range(M):
        if tails[0] * max_norm[m] < floor:
            break
        sums[:] = 0.0
        is_candidate = True
        rounding = query_error * max_norm[m]
        for g in range(G):
            read += 1
            _add_group(codes[g, m], step[g] * scale[g, m], query_codes[g], starts[g], sums)
            slack = rounding + tails[0] * max_error[m] + tails[g + 1] * tail_norm[m, g + 1]
            is_candidate = _any_reaches(sums, floor - slack)
            if not is_candidate:
                break
        if not is_candidate:
            continue
        for j, item in enumerate(items[m * LANES : (m + 1) * LANES]):
            bound = sums[j] + rounding + tails[0] * error[m, j]
            if bound < floor or is_excluded(item, excluded, mask, masks):
                continue
            score = score_item(table, bias, query, item)
            lowest = min(lowest, score)
            n = insert(top_scores, top_items, n, score, item)
            if n == k:
                worst = float(top_scores[k - 1])
                floor = worst - _FLOAT_ERROR * abs(worst) - center
    return top_items[:n], top_scores[:n], lowest, read / (G * M)
