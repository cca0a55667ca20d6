"""Click ablation: how items rank if a click is left out of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.serving.request import to_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.models.base import Model
    from nextclick.serving.request import ResolvedRequest

_SCORES_PER_BLOCK = 1 << 24  # 64 MiB
UNRANKED = 0


class ItemRanks(NamedTuple):
    """Scores and ranks of K items in B sessions.

    Attributes:
        scores: (B, K) float32.
        above_mean: (B, K) float64, score minus the mean score of the catalog in the same session.
        ranks: (B, K) int64 in 1..N; `UNRANKED` if no item of the catalog scores lower, so that the
            item is not recommended.
    """

    scores: Float32Array
    above_mean: Float64Array
    ranks: Int64Array


def rank_items(model: Model, requests: Sequence[ResolvedRequest], items: Int32Array) -> ItemRanks:
    """Score B sessions and rank K items in each; ties are ordered by index, as in `topk`."""
    n_rows = max(_SCORES_PER_BLOCK // (model.n_items + 1), 1)
    blocks = [
        _rank_block(model.score(to_batch(requests[start : start + n_rows])), items)
        for start in range(0, len(requests), n_rows)
    ]
    return ItemRanks(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _rank_block(scores: Float32Array, items: Int32Array) -> ItemRanks:
    ranks = np.empty((len(scores), len(items)), dtype=np.int64)
    for row, rank in zip(scores, ranks, strict=True):
        lowest = row[1:].min()
        for k, item in enumerate(items.tolist()):
            higher = np.count_nonzero(row[1:] > row[item])
            tied_before = np.count_nonzero(row[1:item] == row[item])
            rank[k] = UNRANKED if row[item] == lowest else 1 + higher + tied_before
    means = scores[:, 1:].mean(axis=1, dtype=np.float64)
    return ItemRanks(scores[:, items], scores[:, items] - means[:, None], ranks)
