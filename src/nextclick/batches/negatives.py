"""Popularity-based negative sampling with replacement; the negatives are shared by a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array


class NegativeSampler:
    """Samples items 1..N with probability support^alpha / Σ support^alpha, with replacement.

    A draw takes constant time: one uniform number selects a cell of Walker's alias table, and its
    fractional part selects one of the two items of the cell (Vose, A Linear Algorithm for
    Generating Random Numbers with a Given Distribution, IEEE Trans. Software Engineering 17(9),
    1991).

    With `alpha` 0 all N items are equally likely, including items without support. With `alpha`
    above 0 items without support are never drawn.
    """

    def __init__(self, support: AnyArray, alpha: float):
        """Build the alias table.

        Args:
            support: (N + 1,), clicks per item in training; entry 0 is ignored.
            alpha: exponent of the popularity, at least 0; 1 is the distribution of the log.

        Raises:
            ConfigError: `alpha` is out of range, or no item has a positive probability.
        """
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ConfigError(f"negative_alpha must be a finite number ≥ 0, got {alpha}")
        if len(support) < 2 or (alpha > 0 and not np.any(support[1:] > 0)):
            raise ConfigError("there is no item with clicks to draw negatives from")
        weights = np.asarray(support[1:], dtype=np.float64) ** alpha  # (N,), 0^0 is 1
        probabilities = weights / weights.sum()
        self.n_items = len(probabilities)
        self._threshold, self._alias = _alias_table(probabilities)
        with np.errstate(divide="ignore"):
            log_q = np.log(probabilities, dtype=np.float64)
        self.log_q: Float32Array = np.concatenate([[-np.inf], log_q]).astype(np.float32)
        """(N + 1,) log probability of each item in one draw; -inf for items never drawn."""

    def draw(self, size: int | tuple[int, ...], rng: np.random.Generator) -> Int64Array:
        """Return items in 1..N of shape `size`; the same state of `rng` gives the same items."""
        uniform = rng.random(size)
        items = _look_up(uniform.ravel(), self._threshold, self._alias)
        return items.reshape(uniform.shape)


@njit(cache=True, nogil=True)
def _look_up(uniform: Float64Array, threshold: Float32Array, alias: Int32Array) -> Int64Array:
    """(n,) items of (n,) uniform numbers in 0..1."""
    items = np.empty(len(uniform), np.int64)
    n = len(threshold)
    for i in range(len(uniform)):
        scaled = uniform[i] * n
        cell = min(int(scaled), n - 1)  # the product may round up to n
        items[i] = 1 + (cell if scaled - cell < threshold[cell] else alias[cell])
    return items


@njit(cache=True, nogil=True)
def _alias_table(probabilities: Float64Array) -> tuple[Float32Array, Int32Array]:
    """(N,) the probability of a cell's own item within the cell, and (N,) the cell's other item."""
    n = len(probabilities)
    share = probabilities * n
    alias = np.arange(n, dtype=np.int32)
    small, large = np.empty(n, np.int32), np.empty(n, np.int32)  # stacks
    n_small = n_large = 0
    for i in range(n):
        if share[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        below, above = small[n_small], large[n_large - 1]
        alias[below] = above
        share[above] -= 1.0 - share[below]
        if share[above] < 1.0:
            n_large -= 1
            small[n_small] = above
            n_small += 1
    for k in range(n_large):  # the remaining shares are 1 up to rounding
        share[large[k]] = 1.0
    for k in range(n_small):
        share[small[k]] = 1.0
    return share.astype(np.float32), alias
