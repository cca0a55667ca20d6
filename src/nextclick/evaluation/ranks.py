"""Exact rank of the target among all N items.

    rank = 1 + #{j ≠ target, 1 ≤ j ≤ N : score_j ≥ score_target}

Items with the score of the target rank above it, so a constant scorer has the worst rank. Column 0
is padding and not a candidate. No candidates are sampled. `ties="best"` and `ties="mean"` reproduce
published measurements and are part of the protocol of a result.

With rules, the items that they hide are not candidates either, and a hidden target is a miss.

A target unseen in training (0) has an infinite rank, which is a miss for every metric and cut-off.

Dense scores are counted in one pass. Sparse scores (`SparseScores`) are not expanded to a matrix:
unlisted items of a row are counted by binary search in the sorted base, and the count is corrected
for the listed items. This costs O(log N + J/B) per row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.errors import ConfigError, ScoringError
from nextclick.evaluation.masked_scores import hidden_targets, mask_base, mask_dense, mask_sparse

if TYPE_CHECKING:
    from nextclick.core.filtered_topk import CandidateFilter
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
    scores: Float32Array,
    targets: Int32Array,
    *,
    ties: Ties = "worst",
    first_row: int = 0,
    candidates: CandidateFilter | None = None,
) -> Float64Array:
    """(B,) float64, rank of the target of each row: 1 is best, infinite for target 0.

    Ranks are whole numbers; with `ties="mean"` they are multiples of 0.5.

    Args:
        scores: (B, N + 1) float32.
        targets: (B,) int32 in 0..N.
        ties: rank of the target among items of the same score.
        first_row: number of row 0, for messages.
        candidates: items that are ranked; a target outside of them has an infinite rank. None
            ranks all items.

    Raises:
        ConfigError: `ties` is not one of worst, best, mean.
        ScoringError: scores have another shape or type, or are not finite.
    """
    check_ties(ties)
    if scores.ndim != 2 or len(scores) != len(targets) or scores.dtype != np.float32:
        raise ScoringError(
            f"expected float32 scores with {len(targets)} rows and a column for each item, "
            f"got {scores.dtype} of shape {scores.shape}"
        )
    ranked = scores[:, 1:]  # (B, N)
    finite = np.isfinite(ranked.min(axis=1)) & np.isfinite(ranked.max(axis=1))  # (B,)
    if not finite.all():
        bad_row = int(np.argmin(finite))
        item = int(np.flatnonzero(~np.isfinite(ranked[bad_row]))[0]) + 1
        raise_not_finite(first_row + bad_row, item, scores[bad_row, item])
    score = scores[np.arange(len(targets)), targets][:, None]  # (B, 1)
    if candidates is not None:
        ranked = mask_dense(scores, candidates)[:, 1:]  # (B, N)
    above = np.count_nonzero(ranked > score, axis=1)
    tied = np.count_nonzero(ranked == score, axis=1) - 1  # without the target itself
    return ranks_of_counts(above, tied, targets, ties, candidates)


def sparse_ranks(
    scores: SparseScores,
    targets: Int32Array,
    base: SortedBase,
    *,
    ties: Ties = "worst",
    first_row: int = 0,
    candidates: CandidateFilter | None = None,
) -> Float64Array:
    """(B,) float64, equal to `dense_ranks` of `scores.dense()`.

    Args:
        scores: B rows that passed `check_sparse`.
        targets: (B,) int32 in 0..N.
        base: `scores.base`, sorted.
        ties: rank of the target among items of the same score.
        first_row: number of row 0, for messages.
        candidates: as in `dense_ranks`.

    Raises:
        ConfigError: `ties` is not one of worst, best, mean.
        ScoringError: a listed score is not finite.
    """
    check_ties(ties)
    non_finite = np.flatnonzero(~np.isfinite(scores.values))
    if len(non_finite):
        entry = int(non_finite[0])
        row = int(np.searchsorted(scores.offsets, entry, side="right")) - 1
        raise_not_finite(first_row + row, int(scores.items[entry]), scores.values[entry])
    if candidates is not None:
        scores, base = mask_sparse(scores, candidates), mask_base(base, candidates)
    above, tied = _count_sparse(scores, targets, base)
    return ranks_of_counts(above, tied, targets, ties, candidates)


def check_ties(ties: str) -> None:
    """Raise ConfigError unless `ties` is worst, best or mean."""
    if ties not in ("worst", "best", "mean"):
        raise ConfigError(f"ties must be worst, best or mean, got {ties!r}")


def check_sparse(scores: SparseScores, n_rows: int, n_items: int, *, first_row: int = 0) -> None:
    """Check that sparse scores are as `SparseScores` specifies.

    Raises:
        ScoringError: a shape or type is wrong, an item is outside 1..N or twice in a row.
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
    row, item = find_invalid_entry(offsets, items, n_items)
    if row >= 0:
        raise ScoringError(
            f"row {first_row + row}: item {item} is listed twice or is not in 1..{n_items}"
        )


def raise_not_finite(row: int, item: int, score: np.float32) -> NoReturn:
    """Raise the error of a score that cannot be ranked.

    Raises:
        ScoringError: always.
    """
    raise ScoringError(
        f"row {row}, item {item}: the score is {score}; a scorer must give finite scores"
    )


def ranks_of_counts(
    above: Int64Array,
    tied: Int64Array,
    targets: Int32Array,
    ties: Ties,
    candidates: CandidateFilter | None = None,
) -> Float64Array:
    """(B,) ranks from the numbers of items with a higher and with the same score as the target."""
    ranks = above.astype(np.float64) + 1.0
    if ties == "worst":
        ranks += tied
    elif ties == "mean":
        ranks += tied / 2
    ranks[targets == 0] = np.inf
    if candidates is not None:
        ranks[hidden_targets(candidates, targets)] = np.inf
    return ranks


def _count_sparse(
    scores: SparseScores, targets: Int32Array, base: SortedBase
) -> tuple[Int64Array, Int64Array]:
    """(B,) numbers of items with a higher score than the target, and with the same score."""
    items, values = scores.items, scores.values  # (J,)
    row = np.repeat(np.arange(len(targets)), np.diff(scores.offsets))  # (J,)
    score = base.scores[targets]  # (B,)
    listed = np.flatnonzero(items == targets[row])
    score[row[listed]] = values[listed]
    left = np.searchsorted(base.ascending, score, side="left")
    right = np.searchsorted(base.ascending, score, side="right")
    # a listed item was counted with its base score, but has the score `values`
    base_score, target_score = base.scores[items], score[row]  # (J,)
    more_above = (values > target_score).astype(np.int8) - (base_score > target_score)
    more_tied = (values == target_score).astype(np.int8) - (base_score == target_score)
    above = len(base.ascending) - right + _row_sums(more_above, scores.offsets)
    return above, right - left - 1 + _row_sums(more_tied, scores.offsets)


def _row_sums(values: AnyArray, offsets: Int64Array) -> Int64Array:
    """(B,) int64, the sum of the entries of each row."""
    ends = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: Int64Array = ends[offsets[1:]] - ends[offsets[:-1]]
    return sums


@compiled_above(
    2_000_000,
    kernel="nextclick.evaluation.rank_kernels:find_invalid_entry",
    work=lambda offsets, items, _n_items: 64 * len(offsets) + len(items),
)
def find_invalid_entry(offsets: Int64Array, items: Int32Array, n_items: int) -> tuple[int, int]:
    """Row and item of the first entry that is out of range or a duplicate; row -1 if none."""
    in_range = not len(items) or (items.min() >= 1 and items.max() <= n_items)
    position = np.empty(n_items + 1, dtype=np.int64)  # last position of each item in its row
    for b, (first, last) in enumerate(pairwise(offsets.tolist())):
        row = items[first:last]
        if in_range and last > first:
            numbers = np.arange(last - first)
            position[row] = numbers
            if np.array_equal(position[row], numbers):
                continue
        seen: set[int] = set()
        for item in row.tolist():
            if not 1 <= item <= n_items or item in seen:
                return b, item
            seen.add(item)
    return -1, 0
