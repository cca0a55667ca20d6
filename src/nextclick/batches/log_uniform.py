"""Distinct items drawn by the rank of their popularity, the same for all rows of a batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array, Int64Array


class LogUniformSampler:
    """Draws the item of rank r in 0..N - 1 with probability log((r + 2) / (r + 1)) / log(N + 1).

    That is how words are drawn where Zipf's law holds. Items are drawn until n of them differ, so
    that each is in the sample 1 - (1 - p)^tries times on average, tries being all draws that were
    needed (as in TensorFlow's log-uniform candidate sampler).
    """

    def __init__(self, support: AnyArray):
        """Rank the items.

        Args:
            support: (N + 1,), what items are ranked by, most first; of equal ones the lower index.
                Entry 0 is ignored.

        Raises:
            ConfigError: no item.
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
        """(N + 1,) of one draw; 0 for item 0."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Int64Array, int]:
        """(n,) distinct items and how many draws that took; all N items if n is more."""
        n = min(n, self.n_items)
        ranks, tries = _distinct(n, self.n_items, rng)
        return self._order[ranks], int(tries)

    def expected(self, items: AnyArray, tries: int) -> Float64Array:
        """How often each of the items is in a sample that took so many draws, on average."""
        found: Float64Array = -np.expm1(tries * np.log1p(-self.probability[items]))
        return found


@njit(cache=True, nogil=True)
def _distinct(n: int, n_items: int, rng: np.random.Generator) -> tuple[Int64Array, int]:
    drawn = np.empty(n, np.int64)
    seen = np.zeros(n_items, np.bool_)
    reach = math.log(n_items + 1)
    held, tries = 0, 0
    while held < n:
        tries += 1
        rank = min(int(math.exp(rng.random() * reach)) - 1, n_items - 1)
        if not seen[rank]:
            seen[rank] = True
            drawn[held] = rank
            held += 1
    return drawn, tries
