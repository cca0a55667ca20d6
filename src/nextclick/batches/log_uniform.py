"""Log-uniform negative sampling: distinct items by popularity rank, shared by a whole batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array, Int64Array


class LogUniformSampler:
    """Samples the item of rank r in 0..N - 1 with probability log((r + 2) / (r + 1)) / log(N + 1).

    This approximates Zipf's law. Items are drawn until n distinct ones are found. An item of
    probability p is then in the sample with expected count 1 - (1 - p)^tries, where tries is the
    number of draws, as in TensorFlow's log-uniform candidate sampler.
    """

    def __init__(self, support: AnyArray):
        """Rank the items.

        Args:
            support: (N + 1,), clicks per item. Items are ranked by descending support, ties by
                ascending index. Entry 0 is ignored.

        Raises:
            ConfigError: there is no item.
        """
        if len(support) < 2:
            raise ConfigError("there is no item to draw negatives from")
        self.n_items = len(support) - 1
        self._order: Int64Array = 1 + np.argsort(-np.asarray(support[1:]), kind="stable")
        ranks = np.empty(self.n_items + 1, np.int64)
        ranks[0] = self.n_items
        ranks[self._order] = np.arange(self.n_items)
        steps = np.log1p(1.0 / (1.0 + np.arange(self.n_items + 1))) / math.log(self.n_items + 1)
        self.probability: Float64Array = steps[ranks]
        self.probability[0] = 0.0
        """(N + 1,) probability of each item in one draw; 0 for item 0."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Int64Array, int]:
        """(n,) distinct items and the number of draws; all N items if n > N."""
        n = min(n, self.n_items)
        ranks, tries = _draw_distinct_ranks(n, self.n_items, rng)
        return self._order[ranks], int(tries)

    def expected_counts(self, items: AnyArray, tries: int) -> Float64Array:
        """(n,) float64, the expected counts of (n,) items in a sample of `tries` draws."""
        counts: Float64Array = -np.expm1(tries * np.log1p(-self.probability[items]))
        return counts


@njit(cache=True, nogil=True)
def _draw_distinct_ranks(n: int, n_items: int, rng: np.random.Generator) -> tuple[Int64Array, int]:
    """(n,) distinct ranks in 0..N - 1 in the order of the draws, and the number of draws."""
    drawn = np.empty(n, np.int64)
    is_drawn = np.zeros(n_items, np.bool_)
    log_range = math.log(n_items + 1)
    n_drawn, tries = 0, 0
    while n_drawn < n:
        tries += 1
        rank = min(int(math.exp(rng.random() * log_range)) - 1, n_items - 1)
        if not is_drawn[rank]:
            is_drawn[rank] = True
            drawn[n_drawn] = rank
            n_drawn += 1
    return drawn, tries
