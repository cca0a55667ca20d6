"""What is recommended over a whole evaluation: how much of the catalog, and how popular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int32Array, Int64Array


@dataclass(frozen=True, slots=True)
class ItemPopularity:
    """How popular in training the recommended items are, on average over all places of all lists.

    Attributes:
        support: their clicks in training.
        percentile: their place in the catalog ordered by clicks, from 0 (least) to 1 (most
            clicked), items with the same clicks in the middle of their places. Recommending
            uniformly at random gives 0.5.
    """

    support: float
    percentile: float


class Exposure:
    """How often each item was recommended; add lists block by block, then read."""

    def __init__(self, n_items: int, ks: Sequence[int], support: Int64Array | None) -> None:
        """Start with nothing recommended.

        Args:
            n_items: N.
            ks: the cut-offs.
            support: (N + 1,) clicks per item in training, or None: then no popularity.
        """
        self._support = support
        self._times = {k: np.zeros(n_items + 1, dtype=np.int64) for k in ks}

    def add(self, lists: Int32Array) -> None:
        """Count the lists ((B, K) int32 with K at least the largest cut-off) of one block."""
        for k, times in self._times.items():
            np.add.at(times, lists[:, :k].ravel(), 1)

    def coverage(self) -> dict[str, float]:
        """Share of the N items that are in at least one list, as "coverage@K"."""
        return {
            f"coverage@{k}": float(np.count_nonzero(times[1:]) / (len(times) - 1))
            for k, times in self._times.items()
        }

    def popularity(self) -> dict[str, ItemPopularity]:
        """As "popularity@K"; empty without `support`, and no entry if nothing was recommended."""
        if self._support is None:
            return {}
        percentile = popularity_percentile(self._support)  # (N,)
        found = {}
        for k, times in self._times.items():
            places = times[1:].sum()
            if places:
                found[f"popularity@{k}"] = ItemPopularity(
                    support=float(times[1:] @ self._support[1:] / places),
                    percentile=float(times[1:] @ percentile / places),
                )
        return found


def popularity_percentile(support: Int64Array) -> Float64Array:
    """(N,) float64: (items with fewer clicks + half of those with as many, itself included) / N.

    Args:
        support: (N + 1,) clicks per item; entry 0 is left out.

    >>> popularity_percentile(np.array([0, 5, 1, 1, 9])).tolist()
    [0.625, 0.25, 0.25, 0.875]
    """
    ascending = np.sort(support[1:])
    fewer = np.searchsorted(ascending, support[1:], side="left")
    no_more = np.searchsorted(ascending, support[1:], side="right")
    percentile: Float64Array = (fewer + no_more) / (2 * len(ascending))
    return percentile
