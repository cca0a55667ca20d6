"""The best products of a query with a table, exactly, by looking at as little of it as will do.

Three things tell early that an item is none of the K best. The table is centerd, which takes the
same from every score, and put on other axes, x F for the items and q F⁻ᵀ for the queries, which
changes no product. F is the balancing transformation (Moore, Principal Component Analysis in Linear
Systems, 1981) of the second moments of items and of queries: on its axes both are diagonal, and the
same, so that the axes that count for the products come first. Then

- items stand by length, the longest first: once ‖q‖ ‖x‖ lies below the K-th best score so far, so
  it does for all that follow (Teflioudi et al., LEMP, SIGMOD 2015);
- the first axes hold most of a product: after some of them the others add at most ‖q'‖ ‖x'‖ of
  what they hold of both (Li et al., FEXIPRO, SIGMOD 2017);
- a number x is read as half a byte, s·w·n with a whole number n in -7..7, the grain w of its axis,
  and one s for sixteen axes of 64 items. The product of q with what that leaves out is at most
  ‖q‖ ‖x - s w n‖; that of q rounded to whole numbers, too, is bounded alike.

All bounds are those of Cauchy and Schwarz. They hold for 64 items at once. What they do not rule
out, some hundreds of items, is scored from the table itself. The answer is that of the exact
search: what is passed over could not have been among the best. Only who asks for less `caution`
than 1 may get another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numba
import numpy as np

from nextclick.core.topk_kernels import insert
from nextclick.serving.filtered_topk_kernels import is_hidden
from nextclick.serving.search.filtered_topk import NO_MASK

if TYPE_CHECKING:
    from nextclick.core.types import (
        AnyArray,
        BoolArray,
        Float32Array,
        Float64Array,
        Int32Array,
    )
    from nextclick.serving.request import Wish

_LANES = 64  # items of a block
_GROUP = 16  # axes after which the bound is looked at
_MOST, _ZERO = 7, 8  # of four bits: numbers from -7 to 7, each above that zero
_MOST_OF_QUERY = 127  # products of sixteen axes fit into 16 bits
# of the range of the numbers, which one rounds best though some are cut off
_RANGES = (1.0, 0.85, 0.7, 0.55, 0.4)
_AT_ONCE = 1 << 16  # items that are turned at once; in float64 they take some room
# below these shares a direction counts as one of which the sample of vectors has told nothing
_LEAST_OF_ITEMS, _LEAST_OF_QUERIES = 1e-6, 0.03
_FLOAT = 2.0**-23  # two roundings to float32


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A table in half bytes: M blocks of 64 items, G groups of 16 axes.

    Attributes:
        rows: (G, M, 4, 64) uint16, n + 8 of four axes, the first in the lowest bits.
        scale: (G, M) float32, s.
        grain: (G, 16) float64, w.
        off: (M, 64) float32, ‖x - s w n‖, and what sums in float32 may be off.
        most_off: (M,) float32, the greatest of a block.
        rest: (M, G + 1) float32, the greatest length of what the groups from g on hold of x.
        reach: (M,) float32, the greatest length of this block and those behind it.
        items: (N,) int32, which item stands where.
        center: (D,) float64, what was taken from each x.
        turn: (D, D) float64, F⁻ᵀ, a column for each axis.
        table: (N + 1, W) float32, as it was; D is W, or W + 1 with a bias, which is an x for a 1
            in q.
        bias: (N + 1,) float32, added to products; None for no bias.
    """

    rows: AnyArray
    scale: Float32Array
    grain: Float64Array
    off: Float32Array
    most_off: Float32Array
    rest: Float32Array
    reach: Float32Array
    items: Int32Array
    center: Float64Array
    turn: Float64Array
    table: Float32Array
    bias: Float32Array | None

    @classmethod
    def of(cls, table: Float32Array, bias: Float32Array | None, queries: Float32Array) -> Self:
        """Round a table of finite numbers.

        Args:
            table: (N + 1, W), W numbers of each item; row 0 is padding.
            bias: (N + 1,), or None.
            queries: (n, W), some of those that will be asked. The answers do not depend on them,
                but how much has to be looked at does.
        """
        every = np.arange(1, len(table), dtype=np.int32)
        some = _vectors(table, bias, every[:: len(every) // _AT_ONCE + 1])
        center = some.mean(axis=0)
        axes = _balanced(some - center, _whole(queries, len(center)))

        def on_axes(some: Int32Array) -> Float64Array:
            turned: Float64Array = (_vectors(table, bias, some) - center) @ axes
            return turned

        lengths = [
            np.linalg.norm(on_axes(every[at : at + _AT_ONCE]), axis=1)
            for at in range(0, len(every), _AT_ONCE)
        ]
        items = every[np.argsort(-np.concatenate(lengths), kind="stable")]
        G, M = -(-len(axes) // _GROUP), -(-len(items) // _LANES)
        grain = _grain((some - center) @ axes, G)
        rows = np.empty((G, M, _GROUP // 4, _LANES), dtype=np.uint16)
        scale = np.empty((G, M), dtype=np.float32)
        rest = np.zeros((M, G + 1), dtype=np.float32)
        off = np.empty((M, _LANES), dtype=np.float32)
        step = _AT_ONCE // _LANES
        for at in range(0, M, step):
            part = slice(at, at + step)
            turned = on_axes(items[at * _LANES :][:_AT_ONCE])
            # what is left over stays the center
            turned = np.pad(turned, ((0, -len(turned) % _LANES), (0, -len(axes) % _GROUP)))
            _round(turned, grain, rows[:, part], scale[:, part], rest[part], off[part])
        most_off = off.max(axis=1)
        reach = np.maximum.accumulate((rest[:, 0] + most_off)[::-1])[::-1].copy()
        turn = np.ascontiguousarray(np.linalg.inv(axes).T)
        return cls(rows, scale, grain, off, most_off, rest, reach, items, center, turn, table, bias)

    def best(
        self, query: Float32Array, wish: Wish, caution: float = 1.0
    ) -> tuple[tuple[Int32Array, Float32Array] | None, float]:
        """The items to recommend for a (D,) query, best first; see `best.Best.lists`.

        Args:
            query: a session's.
            wish: how many, and which may be shown.
            caution: what part of a bound is reckoned with. Below 1 some of the best may be missed,
                for vectors rarely point as the bounds of Cauchy and Schwarz fear.

        Returns:
            None where that cannot be told so: the query is not finite, or the K-th item scores no
            more than the lowest of those that were looked at. And which share of the bytes was
            read.
        """
        if not np.isfinite(query).all():
            return None, 0.0
        groups, tails, shift = _turned(query, self.center, self.turn, len(self.grain))
        tails *= caution
        whole, starts, step, missing = _whole_numbers(groups, self.grain)
        bias = _NO_BIAS if self.bias is None else self.bias
        masks = NO_MASK if wish.shown is None else wish.shown[None]
        items, scores, lowest, read = _best(
            self.rows, self.scale, self.off, self.most_off, self.rest, self.reach, self.items,
            self.table, bias, query, whole, starts, step, tails, caution * missing, shift, wish.k,
            wish.hidden, masks,
        )  # fmt: skip
        told = len(scores) == 0 or scores[-1] > lowest
        return (items, scores) if told else None, read


_NO_BIAS = np.empty(0, dtype=np.float32)


def _vectors(table: Float32Array, bias: Float32Array | None, items: Int32Array) -> Float64Array:
    """(n, D), a bias as the last column."""
    vectors = table[items].astype(np.float64)
    return vectors if bias is None else np.column_stack([vectors, bias[items]])


def _whole(queries: Float32Array, width: int) -> Float64Array:
    """(n, D) with a 1 for a bias, if there is one."""
    whole = np.ones((len(queries), width))
    whole[:, : queries.shape[1]] = queries
    return whole


def _balanced(vectors: Float64Array, queries: Float64Array) -> Float64Array:
    """(D, D), F: of vectors x F and queries q F⁻ᵀ the mean squares are alike, and fall."""
    root = np.linalg.cholesky(_moments(vectors, _LEAST_OF_ITEMS))
    strength, axes = np.linalg.eigh(root.T @ _moments(queries, _LEAST_OF_QUERIES) @ root)
    balanced: Float64Array = np.linalg.solve(root.T, axes[:, ::-1])
    balanced *= np.maximum(strength[::-1], 1e-30) ** 0.25
    return balanced


def _moments(rows: Float64Array, least: float) -> Float64Array:
    """(D, D) second moments, in no direction below that share of their mean."""
    moments: Float64Array = rows.T @ rows / len(rows)
    moments += least * (np.trace(moments) / len(moments) or 1.0) * np.eye(len(moments))
    return moments


def _grain(turned: Float64Array, n_groups: int) -> Float64Array:
    """(G, 16) the root of the mean square on each axis; 1 on an axis of zeros."""
    grain = np.zeros(n_groups * _GROUP)
    grain[: turned.shape[1]] = np.sqrt(np.square(turned).mean(axis=0))
    grain[grain == 0.0] = 1.0
    return grain.reshape(n_groups, _GROUP)


@numba.njit(cache=True, nogil=True)
def _round(
    x: Float64Array,
    grain: Float64Array,
    rows: AnyArray,
    scale: Float32Array,
    rest: Float32Array,
    off: Float32Array,
) -> None:
    """Fill what `Rounded` has of the same name from (64 M, 16 G) vectors on their axes."""
    G, M = rows.shape[:2]
    n = np.empty((_LANES, _GROUP))
    for m in range(M):
        block = x[m * _LANES : (m + 1) * _LANES]
        left, far = np.zeros(_LANES), np.zeros(_LANES)
        for g in range(G - 1, -1, -1):
            some = block[:, g * _GROUP : (g + 1) * _GROUP]
            widest = np.abs(some / grain[g]).max() / _MOST
            least, s = np.inf, 1.0
            for part in _RANGES:
                narrower = np.float64(np.float32(part * widest)) or 1.0
                missed = _missed(some, narrower * grain[g]).max()
                if missed < least:
                    least, s = missed, narrower
            scale[g, m] = s
            far += _missed(some, s * grain[g])
            for j in range(_LANES):
                for k in range(_GROUP):
                    n[j, k] = _nearest(some[j, k], s * grain[g, k])
                    left[j] += some[j, k] ** 2
                for k in range(0, _GROUP, 4):
                    packed = 0
                    for part in range(4):
                        packed |= int(n[j, k + part] + _ZERO) << 4 * part
                    rows[g, m, k // 4, j] = packed
            rest[m, g] = np.sqrt(left.max())
        length = np.sqrt(far)
        off[m] = length + _FLOAT * (G * _GROUP) * (rest[m, 0] + length)


@numba.njit(cache=True, nogil=True)
def _nearest(x: float, step: float) -> float:
    return float(min(max(np.rint(x / step), -_MOST), _MOST))


@numba.njit(cache=True, nogil=True)
def _missed(x: Float64Array, steps: Float64Array) -> Float64Array:
    """(n,) squares of what (n, 16) numbers lose when they are rounded to those steps."""
    missed = np.zeros(len(x))
    for j in range(len(x)):
        for k in range(_GROUP):
            missed[j] += (x[j, k] - steps[k] * _nearest(x[j, k], steps[k])) ** 2
    return missed


@numba.njit(cache=True, nogil=True)
def _turned(
    query: Float32Array, center: Float64Array, turn: Float64Array, n_groups: int
) -> tuple[Float32Array, Float64Array, float]:
    """(G, 16) the query on the axes, (G + 1,) lengths of what is left of it, and q · center."""
    turned, shift = np.zeros(n_groups * _GROUP), 0.0
    for j in range(len(center)):
        x = np.float64(query[j]) if j < len(query) else 1.0  # for the bias
        shift += x * center[j]
        for axis in range(len(center)):
            turned[axis] += x * turn[j, axis]
    groups = turned.astype(np.float32).reshape(n_groups, _GROUP)
    tails = np.zeros(n_groups + 1)
    for g in range(n_groups - 1, -1, -1):
        tails[g] = tails[g + 1]
        for x in groups[g]:
            tails[g] += np.float64(x) * np.float64(x)
    return groups, np.sqrt(tails), shift


@numba.njit(cache=True, nogil=True)
def _whole_numbers(
    query: Float32Array, grain: Float64Array
) -> tuple[AnyArray, AnyArray, Float32Array, float]:
    """(G, 16) int16 n of q w = t n, (G,) what zeros of x add, (G,) t, and how much q loses."""
    whole, starts = np.empty(query.shape, dtype=np.int16), np.empty(len(query), dtype=np.int16)
    steps, missed = np.empty(len(query), dtype=np.float32), 0.0
    for g in range(len(query)):
        steps[g] = np.abs(query[g] * grain[g]).max() / _MOST_OF_QUERY
        steps[g] = steps[g] or 1.0
        step = np.float64(steps[g])
        for k in range(_GROUP):
            n = np.rint(query[g, k] * grain[g, k] / step)
            whole[g, k] = n
            missed += (query[g, k] - n * step / grain[g, k]) ** 2
        starts[g] = -_ZERO * whole[g].sum()
    return whole, starts, steps, np.sqrt(missed)


@numba.njit(cache=True, nogil=True, inline="always")
def _four(packed: int, a: int, b: int, c: int, d: int) -> Any:
    """The product on four axes, in numbers of 16 bits throughout, so that a vector holds many."""
    low = np.uint16(15)
    p = np.int16(packed & low)
    q = np.int16(np.uint16(packed >> np.uint16(4)) & low)
    r = np.int16(np.uint16(packed >> np.uint16(8)) & low)
    s = np.int16(packed >> np.uint16(12))
    first = np.int16(np.int16(a * p) + np.int16(b * q))
    return np.int16(first + np.int16(np.int16(c * r) + np.int16(d * s)))


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def _add_group(rows: AnyArray, step: float, q: AnyArray, start: int, sums: Float32Array) -> None:
    """Add the products on sixteen axes to the (64,) sums."""
    times = np.float32(step)
    for j in range(_LANES):
        first = np.int16(_four(rows[0, j], q[0], q[1], q[2], q[3]) + np.int16(start))
        second = _four(rows[1, j], q[4], q[5], q[6], q[7])
        third = _four(rows[2, j], q[8], q[9], q[10], q[11])
        fourth = _four(rows[3, j], q[12], q[13], q[14], q[15])
        total = np.int16(np.int16(first + second) + np.int16(third + fourth))
        sums[j] += times * np.float32(total)


@numba.njit(cache=True, nogil=True)
def _some_reach(sums: Float32Array, least: float) -> bool:
    """Whether one of the (64,) sums reaches `least`, or nearly."""
    level = np.float32(least - _FLOAT * abs(least))
    n = np.int32(0)
    for j in range(_LANES):
        n += np.int32(sums[j] >= level)
    return bool(n > 0)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _score(table: Float32Array, bias: Float32Array, query: Float32Array, item: int) -> float:
    total = 0.0
    for j in range(len(query)):
        total += np.float64(table[item, j]) * np.float64(query[j])
    if len(bias):
        total += np.float64(bias[item])
    return float(np.float32(total))


@numba.njit(cache=True, nogil=True)
def _best(
    rows: AnyArray,
    scale: Float32Array,
    off: Float32Array,
    most_off: Float32Array,
    rest: Float32Array,
    reach: Float32Array,
    items: Int32Array,
    table: Float32Array,
    bias: Float32Array,
    query: Float32Array,
    whole: AnyArray,
    starts: AnyArray,
    step: Float32Array,
    tails: Float64Array,
    missing: float,
    center: float,
    k: int,
    hides: Int32Array,
    masks: BoolArray,
) -> tuple[Int32Array, Float32Array, float, float]:
    """The best items, their scores, the lowest score of some items, the share of groups read."""
    G, M = rows.shape[:2]
    best, found, n = np.empty(k, np.float32), np.empty(k, np.int32), 0
    lowest, read = np.inf, 0
    for item in items[:_LANES]:
        lowest = min(lowest, _score(table, bias, query, item))
    mask = len(masks) - 1
    floor = -np.inf  # an item whose bound is lower is none of the best
    sums = np.empty(_LANES, np.float32)
    for m in range(M):
        if tails[0] * reach[m] < floor:
            break
        sums[:] = 0.0
        in_question = True
        rounding = missing * reach[m]
        for g in range(G):
            read += 1
            _add_group(rows[g, m], step[g] * scale[g, m], whole[g], starts[g], sums)
            slack = rounding + tails[0] * most_off[m] + tails[g + 1] * rest[m, g + 1]
            in_question = _some_reach(sums, floor - slack)
            if not in_question:
                break
        if not in_question:
            continue
        for j, item in enumerate(items[m * _LANES : (m + 1) * _LANES]):
            bound = sums[j] + rounding + tails[0] * off[m, j]
            if bound < floor or is_hidden(item, hides, mask, masks):
                continue
            score = _score(table, bias, query, item)
            lowest = min(lowest, score)
            n = insert(best, found, n, score, item)
            if n == k:
                worst = float(best[k - 1])
                floor = worst - _FLOAT * abs(worst) - center
    return found[:n], best[:n], lowest, read / (G * M)
