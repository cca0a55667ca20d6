"""How far items fall where a click had not been made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.serving.request import batch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.models.base import Model
    from nextclick.serving.request import Wish

_SCORES = 1 << 24  # at once: 64 MiB
UNNAMED = 0


class Ranking(NamedTuple):
    """How K items stand in B sessions.

    Attributes:
        scores: (B, K) float32.
        leads: (B, K) float64, scores less the mean of the whole catalog in their session.
        ranks: (B, K) int64 in 1..N; `UNNAMED` where no item of the catalog scores lower, so that
            the model does not recommend it.
    """

    scores: Float32Array
    leads: Float64Array
    ranks: Int64Array


def standing(model: Model, wishes: Sequence[Wish], items: Int32Array) -> Ranking:
    """Score the sessions; of equal scores the lower item comes first, as in recommendations."""
    n_rows = max(_SCORES // (model.n_items + 1), 1)
    blocks = [
        _standing(model.score(batch_of(wishes[start : start + n_rows])), items)
        for start in range(0, len(wishes), n_rows)
    ]
    return Ranking(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _standing(scores: Float32Array, items: Int32Array) -> Ranking:
    ranks = np.empty((len(scores), len(items)), dtype=np.int64)
    for row, rank in zip(scores, ranks, strict=True):
        lowest = row[1:].min()
        for k, item in enumerate(items.tolist()):
            higher = np.count_nonzero(row[1:] > row[item])
            before = np.count_nonzero(row[1:item] == row[item])
            rank[k] = UNNAMED if row[item] == lowest else 1 + higher + before
    means = scores[:, 1:].mean(axis=1, dtype=np.float64)
    return Ranking(scores[:, items], scores[:, items] - means[:, None], ranks)
