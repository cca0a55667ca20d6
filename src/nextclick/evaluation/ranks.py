"""The exact rank of the item that was clicked next, among all N items.

    rank = 1 + #{j ≠ target, 1 ≤ j ≤ N : score_j ≥ score_target}

Items with the same score as the target count as ranked above it, so that a constant scorer cannot
win; column 0 is padding and no candidate. Nothing is sampled. `ties="best"` and `ties="mean"` are
there to reproduce what others measured, and are part of a result's protocol.

A target unseen in training (0) is never recommended: its rank is infinite, which makes it a miss
for every metric at every cut-off.

Dense scores are counted in one pass. Sparse scores (`SparseScores`) never become a matrix: items
of a row that are not listed are counted by binary search in the sorted base, and the listed ones
corrected for, which costs O(log N + J/B) a row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.errors import ConfigError, ScoringError

if TYPE_CHECKING:
    from nextclick.core.topk import SortedBase
    from nextclick.core.types import (
        AnyArray,
        Float32Array,
        Float64Array,
        Int32Array,
        Int64Array,
        SparseScores,
    )

Ties: TypeAlias = Literal["worst", "best", "mean"]


def dense_ranks(
    scores: Float32Array, targets: Int32Array, *, ties: Ties = "worst", first_row: int = 0
) -> Float64Array:
    """(B,) float64, the rank of each row's target: 1 is best, infinite for target 0.

    Whole numbers, but for `ties="mean"`, which gives halves.

    Args:
        scores: (B, N + 1) float32.
        targets: (B,) int32 in 0..N.
        ties: which side of the target the items with its score stand on.
        first_row: the number of row 0, for messages.

    Raises:
        ConfigError: `ties` is not one of worst, best, mean.
        ScoringError: scores of another shape or type, or one that is not finite.
    """
    check_ties(ties)
    if scores.ndim != 2 or len(scores) != len(targets) or scores.dtype != np.float32:
        raise ScoringError(
            f"expected float32 scores with {len(targets)} rows and a column for each item, "
            f"got {scores.dtype} of shape {scores.shape}"
        )
    candidates = scores[:, 1:]  # (B, N)
    finite = np.isfinite(candidates.min(axis=1)) & np.isfinite(candidates.max(axis=1))  # (B,)
    if not finite.all():
        bad_row = int(np.argmin(finite))
        item = int(np.flatnonzero(~np.isfinite(candidates[bad_row]))[0]) + 1
        raise ScoringError(_not_finite(first_row + bad_row, item, scores[bad_row, item]))
    score = scores[np.arange(len(targets)), targets][:, None]  # (B, 1)
    above = np.count_nonzero(candidates > score, axis=1)
    tied = np.count_nonzero(candidates == score, axis=1) - 1  # the target is level with itself
    return _ranks(above, tied, targets, ties)


def sparse_ranks(
    scores: SparseScores,
    targets: Int32Array,
    base: SortedBase,
    *,
    ties: Ties = "worst",
    first_row: int = 0,
) -> Float64Array:
    """(B,) float64, what `dense_ranks` gives for `scores.dense()`.

    Args:
        scores: B rows that passed `check_sparse`.
        targets: (B,) int32 in 0..N.
        base: `scores.base`, sorted.
        ties: which side of the target the items with its score stand on.
        first_row: the number of row 0, for messages.

    Raises:
        ConfigError: `ties` is not one of worst, best, mean.
        ScoringError: a listed score that is not finite.
    """
    check_ties(ties)
    bad = np.flatnonzero(~np.isfinite(scores.values))
    if len(bad):
        at = int(bad[0])
        row = int(np.searchsorted(scores.offsets, at, side="right")) - 1
        message = _not_finite(first_row + row, int(scores.items[at]), scores.values[at])
        raise ScoringError(message)
    above, tied = _count_sparse(scores, targets, base)
    return _ranks(above, tied, targets, ties)


def check_ties(ties: str) -> None:
    """Raise ConfigError unless `ties` is worst, best or mean."""
    if ties not in ("worst", "best", "mean"):
        raise ConfigError(f"ties must be worst, best or mean, got {ties!r}")


def check_sparse(scores: SparseScores, n_rows: int, n_items: int, *, first_row: int = 0) -> None:
    """Check that sparse scores have the form that `SparseScores` describes.

    Raises:
        ScoringError: wrong shapes or types, an item outside 1..N, or one listed twice in a row.
    """
    offsets, items = scores.offsets, scores.items
    ends = (0, len(items))
    if (
        len(offsets) != n_rows + 1
        or (offsets[0], offsets[-1]) != ends
        or (np.diff(offsets) < 0).any()
    ):
        raise ScoringError(
            f"expected {n_rows + 1} ascending offsets from 0 to the {len(items)} listed items, "
            f"got {len(offsets)}: {offsets}"
        )
    if len(scores.values) != len(items) or scores.values.dtype != np.float32:
        raise ScoringError(
            f"expected {len(items)} float32 values, one for each listed item, "
            f"got {len(scores.values)} of {scores.values.dtype}"
        )
    if scores.base.shape != (n_items + 1,) or scores.base.dtype != np.float32:
        raise ScoringError(
            f"expected a float32 base of shape ({n_items + 1},), "
            f"got {scores.base.dtype} of shape {scores.base.shape}"
        )
    row, item = wrong_entry(offsets, items, n_items)
    if row >= 0:
        raise ScoringError(
            f"row {first_row + row}: item {item} is listed twice or is not in 1..{n_items}"
        )


def _not_finite(row: int, item: int, score: np.float32) -> str:
    return f"row {row}, item {item}: the score is {score}; a scorer must give finite scores"


def _ranks(above: Int64Array, tied: Int64Array, targets: Int32Array, ties: Ties) -> Float64Array:
    ranks = above.astype(np.float64) + 1.0
    if ties == "worst":
        ranks += tied
    elif ties == "mean":
        ranks += tied / 2
    ranks[targets == 0] = np.inf
    return ranks


def _count_sparse(
    scores: SparseScores, targets: Int32Array, base: SortedBase
) -> tuple[Int64Array, Int64Array]:
    """(B,) items above the target, and (B,) items level with it other than itself."""
    items, values = scores.items, scores.values  # (J,)
    row = np.repeat(np.arange(len(targets)), np.diff(scores.offsets))  # (J,)
    score = base.scores[targets]  # (B,)
    listed = np.flatnonzero(items == targets[row])
    score[row[listed]] = values[listed]
    left = np.searchsorted(base.ascending, score, side="left")
    right = np.searchsorted(base.ascending, score, side="right")
    before, own = base.scores[items], score[row]  # counted above with `before`, has `values`
    more_above = (values > own).astype(np.int8) - (before > own)
    more_level = (values == own).astype(np.int8) - (before == own)
    above = len(base.ascending) - right + _row_sums(more_above, scores.offsets)
    return above, right - left - 1 + _row_sums(more_level, scores.offsets)


def _row_sums(values: AnyArray, offsets: Int64Array) -> Int64Array:
    """(B,) int64, the sum of the entries of each row."""
    ends = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: Int64Array = ends[offsets[1:]] - ends[offsets[:-1]]
    return sums


@compiled_above(
    2_000_000,
    kernel="nextclick.evaluation.rank_kernels:wrong_entry",
    work=lambda offsets, items, _n_items: 64 * len(offsets) + len(items),
)
def wrong_entry(offsets: Int64Array, items: Int32Array, n_items: int) -> tuple[int, int]:
    """The row and item of the first entry that is out of range or a duplicate; row -1 if none."""
    in_range = not len(items) or (items.min() >= 1 and items.max() <= n_items)
    place = np.empty(n_items + 1, dtype=np.int64)  # where in its row each item stands last
    for b, (first, last) in enumerate(pairwise(offsets.tolist())):
        row = items[first:last]
        if in_range and last > first:
            numbers = np.arange(last - first)
            place[row] = numbers
            if np.array_equal(place[row], numbers):
                continue
        seen: set[int] = set()
        for item in row.tolist():
            if not 1 <= item <= n_items or item in seen:
                return b, item
            seen.add(item)
    return -1, 0
