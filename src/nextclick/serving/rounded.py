"""The best products of a query with a table, exactly, by looking at as little of it as will do.

Three things tell early that an item is none of the K best. The table is centred, which takes the
same from every score, and put on other axes, x F for the items and q F⁻ᵀ for the queries, which
changes no product. F is the balancing transformation (Moore, Principal Component Analysis in Linear
Systems, 1981) of the second moments of items and of queries: on its axes both are diagonal, and the
same, so that the axes that count for the products come first. Then

- items stand by length, the longest first: once ‖q‖ ‖x‖ lies below the K-th best score so far, so
  it does for all that follow (Teflioudi et al., LEMP, SIGMOD 2015);
- the first axes hold most of a product: after some of them the others add at most ‖q'‖ ‖x'‖ of
  what they hold of both (Li et al., FEXIPRO, SIGMOD 2017);
- a number x is read as a byte, s·n with a whole number n in -127..127. The product of q with what
  that leaves out is at most ‖q‖ ‖x - s n‖.

All bounds are those of Cauchy and Schwarz. They hold for 64 items at once, with one s for each
axis. What they do not rule out, some dozens of items, is scored from the table itself. The answer
is that of the exact search: what is passed over could not have been among the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numba
import numpy as np

from nextclick.serving.best import _NO_MASK, _is_hidden
from nextclick.topk import _insert

if TYPE_CHECKING:
    from nextclick.serving.query import Wish
    from nextclick.types import (
        AnyArray,
        BoolArray,
        Float32Array,
        Float64Array,
        Int32Array,
    )

_LANES = 64  # items of a block
_GROUP = 8  # axes after which the bound is looked at
_MOST = 127
_AT_ONCE = 1 << 16  # items that are turned at once; in float64 they take some room
# below these shares a direction counts as one of which the sample of vectors has told nothing
_LEAST_OF_ITEMS, _LEAST_OF_QUERIES = 1e-6, 0.03
_FLOAT = 2.0**-23  # two roundings to float32


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A table in bytes: M blocks of 64 items, G groups of 8 axes.

    Attributes:
        rows: (G, M, 8, 64) int8, n.
        scale: (G, M, 8) float32, s.
        off: (M,) float32, the greatest ‖x - s n‖ of a block, and what sums in float32 may be off.
        rest: (M, G + 1) float32, the greatest length of what the groups from g on hold of x.
        reach: (M,) float32, the greatest length of this block and those behind it.
        items: (N,) int32, which item stands where.
        centre: (D,) float64, what was taken from each x.
        turn: (D, D) float64, F⁻ᵀ, a column for each axis.
        table: (N + 1, W) float32, as it was; D is W, or W + 1 with a bias, which is an x for a 1
            in q.
        bias: (N + 1,) float32, added to products; None for no bias.
    """

    rows: AnyArray
    scale: Float32Array
    off: Float32Array
    rest: Float32Array
    reach: Float32Array
    items: Int32Array
    centre: Float64Array
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
        centre = some.mean(axis=0)
        axes = _balanced(some - centre, _whole(queries, len(centre)))

        def on_axes(some: Int32Array) -> Float64Array:
            turned: Float64Array = (_vectors(table, bias, some) - centre) @ axes
            return turned

        lengths = [
            np.linalg.norm(on_axes(every[at : at + _AT_ONCE]), axis=1)
            for at in range(0, len(every), _AT_ONCE)
        ]
        items = every[np.argsort(-np.concatenate(lengths), kind="stable")]
        G, M = -(-len(axes) // _GROUP), -(-len(items) // _LANES)
        rows = np.empty((G, M, _GROUP, _LANES), dtype=np.int8)
        scale = np.empty((G, M, _GROUP), dtype=np.float32)
        rest = np.zeros((M, G + 1), dtype=np.float32)
        off = np.empty(M, dtype=np.float32)
        step = _AT_ONCE // _LANES
        for at in range(0, M, step):
            part = slice(at, at + step)
            turned = on_axes(items[at * _LANES :][:_AT_ONCE])
            _round(turned, rows[:, part], scale[:, part], rest[part], off[part])
        reach = np.maximum.accumulate((rest[:, 0] + off)[::-1])[::-1].copy()
        turn = np.ascontiguousarray(np.linalg.inv(axes).T)
        return cls(rows, scale, off, rest, reach, items, centre, turn, table, bias)

    def best(
        self, query: Float32Array, wish: Wish
    ) -> tuple[tuple[Int32Array, Float32Array] | None, float]:
        """The items to recommend for a (D,) query, best first; see `best.Best.lists`.

        None where that cannot be told so: the query is not finite, or the K-th item scores no more
        than the lowest of those that were looked at. And which share of the bytes was read.
        """
        if not np.isfinite(query).all():
            return None, 0.0
        groups, tails, shift = _turned(query, self.centre, self.turn, self.rows.shape[0])
        bias = _NO_BIAS if self.bias is None else self.bias
        masks = _NO_MASK if wish.shown is None else wish.shown[None]
        items, scores, lowest, read = _best(
            self.rows, self.scale, self.off, self.rest, self.reach, self.items, self.table, bias,
            query, groups, tails, shift, wish.k, wish.hidden, masks,
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


def _round(
    turned: Float64Array,
    rows: AnyArray,
    scale: Float32Array,
    rest: Float32Array,
    off: Float32Array,
) -> None:
    """Fill what `Rounded` has of the same name from (n, D) vectors on their axes."""
    G, M = rows.shape[:2]
    x = np.zeros((M * _LANES, G * _GROUP), dtype=np.float32)  # what is left over stays the centre
    x[: len(turned), : turned.shape[1]] = turned
    x = x.reshape(M, _LANES, G, _GROUP)
    s = np.abs(x).max(axis=1, keepdims=True) / np.float32(_MOST)  # (M, 1, G, 8)
    s[s == 0.0] = 1.0
    n = np.rint(x / s)
    rows[:] = n.transpose(2, 0, 3, 1)
    scale[:] = s[:, 0].transpose(1, 0, 2)
    squares = np.square(x, dtype=np.float64).sum(axis=3)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    rest[:, :G] = np.sqrt(squares).max(axis=1)
    n *= s
    n -= x
    far = np.sqrt(np.square(n, dtype=np.float64).sum(axis=(2, 3))).max(axis=1)
    off[:] = far + _FLOAT * (G * _GROUP) * (rest[:, 0] + far)


@numba.njit(cache=True, nogil=True)
def _turned(
    query: Float32Array, centre: Float64Array, turn: Float64Array, n_groups: int
) -> tuple[Float32Array, Float64Array, float]:
    """(G, 8) the query on the axes, (G + 1,) lengths of what is left of it, and q · centre."""
    turned, shift = np.zeros(n_groups * _GROUP), 0.0
    for j in range(len(centre)):
        x = np.float64(query[j]) if j < len(query) else 1.0  # for the bias
        shift += x * centre[j]
        for axis in range(len(centre)):
            turned[axis] += x * turn[j, axis]
    groups = turned.astype(np.float32).reshape(n_groups, _GROUP)
    tails = np.zeros(n_groups + 1)
    for g in range(n_groups - 1, -1, -1):
        tails[g] = tails[g + 1]
        for x in groups[g]:
            tails[g] += np.float64(x) * np.float64(x)
    return groups, np.sqrt(tails), shift


# sums may be taken in any order, so that they use vectors; for the highest one they would not
@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
def _add_group(
    rows: AnyArray, scale: Float32Array, query: Float32Array, sums: Float32Array
) -> None:
    """Add the products on eight axes to the (64,) sums."""
    for k in range(0, _GROUP, 4):
        a, b = query[k] * scale[k], query[k + 1] * scale[k + 1]
        c, d = query[k + 2] * scale[k + 2], query[k + 3] * scale[k + 3]
        for j in range(_LANES):
            sums[j] += (
                a * np.float32(rows[k, j])
                + b * np.float32(rows[k + 1, j])
                + c * np.float32(rows[k + 2, j])
                + d * np.float32(rows[k + 3, j])
            )


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
    rest: Float32Array,
    reach: Float32Array,
    items: Int32Array,
    table: Float32Array,
    bias: Float32Array,
    query: Float32Array,
    groups: Float32Array,
    tails: Float64Array,
    centre: float,
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
        in_question, slack = True, 0.0
        for g in range(G):
            read += 1
            _add_group(rows[g, m], scale[g, m], groups[g], sums)
            slack = tails[0] * off[m] + tails[g + 1] * rest[m, g + 1]
            in_question = _some_reach(sums, floor - slack)
            if not in_question:
                break
        if not in_question:
            continue
        for j, item in enumerate(items[m * _LANES : (m + 1) * _LANES]):
            if sums[j] + slack < floor or _is_hidden(item, hides, mask, masks):
                continue
            score = _score(table, bias, query, item)
            lowest = min(lowest, score)
            n = _insert(best, found, n, score, item)
            if n == k:
                worst = float(best[k - 1])
                floor = worst - _FLOAT * abs(worst) - centre
    return found[:n], best[:n], lowest, read / (G * M)
