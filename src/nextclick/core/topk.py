"""Top-K selection from dense or sparse scores, shared by evaluation and serving.

An item is recommended if it is among the K highest scores of its row and **another item of the row
has a lower score**. Models give the lowest score to items without evidence, such as 0 in k-NN for
an item that no neighbor contains. Such items are not recommended, so a constant scorer recommends
nothing. The rule depends on the scores alone: equal dense and sparse scores give equal lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.errors import ScoringError

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, SparseScores


@dataclass(frozen=True, slots=True, eq=False)
class SortedBase:
    """The base scores of `SparseScores`, sorted once for all rows.

    Attributes:
        scores: (N + 1,) float32, the base, a copy if it is writable.
        ascending: (N,) float32, the scores of items 1..N, ascending.
        best_first: (N,) int32, the items by descending score; ties by ascending index.
    """

    scores: Float32Array
    ascending: Float32Array
    best_first: Int32Array

    @classmethod
    def from_scores(cls, base: Float32Array) -> SortedBase:
        """Sort the base scores.

        Raises:
            ScoringError: a score is not finite.
        """
        bad = np.flatnonzero(~np.isfinite(base[1:]))
        if len(bad):
            item = int(bad[0]) + 1
            raise ScoringError(
                f"item {item}: the base score is {base[item]}; a scorer must give finite scores"
            )
        order = np.argsort(-base[1:], kind="stable")
        return cls(
            scores=base.copy() if base.flags.writeable else base,
            ascending=base[1:][order[::-1]],
            best_first=(order + 1).astype(np.int32),
        )

    def matches(self, base: Float32Array) -> bool:
        """Whether this was built from equal base scores; compares values, unless read-only."""
        return self.scores is base or np.array_equal(self.scores, base)


@compiled_above(
    10_000_000,
    kernel="nextclick.core.topk_kernels:dense_top",
    work=lambda scores, _k: scores.size,
)
def dense_top(scores: Float32Array, k: int) -> Int32Array:
    """(B, k) int32, the recommended items of each row by descending score, padded with 0.

    Ties are in ascending order of the item index.

    Args:
        scores: (B, N + 1) float32, finite.
        k: at most N.
    """
    candidates = scores[:, 1:]  # (B, N)
    best = np.argsort(-candidates, axis=1, kind="stable")[:, :k]  # (B, k)
    lowest = candidates.min(axis=1, initial=np.inf, keepdims=True)
    recommended = np.take_along_axis(candidates, best, axis=1) > lowest
    return np.where(recommended, best + 1, 0).astype(np.int32)


@compiled_above(
    2_000_000,
    kernel="nextclick.core.topk_kernels:sparse_top",
    work=lambda scores, *_: 64 * len(scores.offsets) + len(scores.items),
)
def sparse_top(scores: SparseScores, base: SortedBase, k: int) -> Int32Array:
    """(B, k) int32, equal to `dense_top(scores.dense(), k)`.

    Args:
        scores: B rows that passed `check_sparse`.
        base: `scores.base`, sorted.
        k: at most N.
    """
    lists = np.zeros((len(scores.offsets) - 1, k), dtype=np.int32)
    listed = np.zeros(len(base.scores), dtype=np.bool_)
    for b, row in enumerate(lists):
        first, last = scores.offsets[b], scores.offsets[b + 1]
        items, values = scores.items[first:last], scores.values[first:last]
        listed[items] = True
        unlisted, lowest = _best_unlisted(base, listed, len(items), k)
        listed[items] = False
        items = np.concatenate([items, unlisted])
        values = np.concatenate([values, base.scores[unlisted]])
        best = np.lexsort((items, -values))[:k]
        lowest = min(lowest, values.min(initial=np.inf))
        row[:] = np.where(values[best] > lowest, items[best], 0)
    return lists


def _best_unlisted(
    base: SortedBase, listed: BoolArray, n_listed: int, k: int
) -> tuple[Int32Array, float]:
    """The k best unlisted items, and the lowest base score of all unlisted items."""
    best = base.best_first[: k + n_listed]
    worst = base.best_first[::-1][: 1 + n_listed]
    worst = worst[~listed[worst]]
    lowest = float(base.scores[worst[0]]) if len(worst) else np.inf
    return best[~listed[best]][:k], lowest
