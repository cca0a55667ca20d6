"""Coverage of the catalog, and popularity and diversity of the recommended items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int32Array, Int64Array


@dataclass(frozen=True, slots=True)
class ItemPopularity:
    """Mean popularity of the recommended items over all positions of all lists.

    Attributes:
        support: mean number of clicks in training.
        percentile: mean percentile of the clicks in training, from 0 (fewest) to 1 (most). Items
            with equal clicks share the mean of their percentiles. Uniformly random recommendations
            give 0.5.
    """

    support: float
    percentile: float


class Exposure:
    """Counts of the recommendations of each item, accumulated block by block."""

    def __init__(self, n_items: int, ks: Sequence[int], support: Int64Array | None) -> None:
        """Set all counts to 0.

        Args:
            n_items: N.
            ks: cut-offs.
            support: (N + 1,) clicks per item in training; None omits the popularity.
        """
        self._support = support
        self._counts = {k: np.zeros(n_items + 1, dtype=np.int64) for k in ks}
        self._diversity = np.zeros((2, len(ks)))  # sum over the lists, and number of lists

    def add(self, lists: Int32Array, diversity: Float64Array | None = None) -> None:
        """Count the lists of one block.

        Args:
            lists: (B, K) int32 with K at least the largest cut-off.
            diversity: (B, cut-offs) float64, NaN for a list of fewer than two items.
        """
        if diversity is not None:
            self._diversity += np.nansum(diversity, axis=0), np.isfinite(diversity).sum(axis=0)
        for k, counts in self._counts.items():
            np.add.at(counts, lists[:, :k].ravel(), 1)

    def add_counts(self, other: Exposure) -> None:
        """Add the counts of the lists of another process."""
        for k, counts in self._counts.items():
            counts += other._counts[k]
        self._diversity += other._diversity

    def coverage(self) -> dict[str, float]:
        """Share of the N items in at least one list, by name "coverage@K"."""
        return {
            f"coverage@{k}": float(np.count_nonzero(counts[1:]) / (len(counts) - 1))
            for k, counts in self._counts.items()
        }

    def diversity(self) -> dict[str, float]:
        """Mean diversity of the lists by name "diversity@K"; no entry if it is not measured."""
        return {
            f"diversity@{k}": float(total / n)
            for k, total, n in zip(self._counts, *self._diversity, strict=True)
            if n
        }

    def popularity(self) -> dict[str, ItemPopularity]:
        """Popularity by name "popularity@K"; without `support` or recommendations, no entry."""
        if self._support is None:
            return {}
        percentile = popularity_percentile(self._support)  # (N,)
        popularity = {}
        for k, counts in self._counts.items():
            total = counts[1:].sum()
            if total:
                popularity[f"popularity@{k}"] = ItemPopularity(
                    support=float(counts[1:] @ self._support[1:] / total),
                    percentile=float(counts[1:] @ percentile / total),
                )
        return popularity


def popularity_percentile(support: Int64Array) -> Float64Array:
    """(N,) float64: (items with fewer clicks + half of the items with equal clicks) / N.

    The item itself is one of the items with equal clicks.

    Args:
        support: (N + 1,) clicks per item; entry 0 is ignored.

    >>> popularity_percentile(np.array([0, 5, 1, 1, 9])).tolist()
    [0.625, 0.25, 0.25, 0.875]
    """
    ascending = np.sort(support[1:])
    fewer = np.searchsorted(ascending, support[1:], side="left")
    fewer_or_equal = np.searchsorted(ascending, support[1:], side="right")
    percentile: Float64Array = (fewer + fewer_or_equal) / (2 * len(ascending))
    return percentile
