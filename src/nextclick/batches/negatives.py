"""Negatives: items drawn by popularity, the same for all rows of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array


class NegativeSampler:
    """Draws items 1..N with probability support^alpha / Σ support^alpha, with replacement.

    A draw costs the same whatever N is: one uniform number picks a cell of Walker's alias table
    (Vose, A Linear Algorithm for Generating Random Numbers with a Given Distribution, IEEE Trans.
    Software Engineering 17(9), 1991) and, with its fractional part, one of the cell's two items.

    `alpha` 0 draws all N items alike, those without support included; with `alpha` above 0 an
    item without support is never drawn.
    """

    def __init__(self, support: AnyArray, alpha: float):
        """Build the table.

        Args:
            support: (N + 1,), clicks per item in training; entry 0 is ignored.
            alpha: how much popularity counts, at least 0; 1 draws as the log does.

        Raises:
            ConfigError: `alpha` out of its range, or nothing to draw.
        """
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ConfigError(f"negative_alpha must be a finite number ≥ 0, got {alpha}")
        if len(support) < 2 or (alpha > 0 and not np.any(support[1:] > 0)):
            raise ConfigError("there is no item with clicks to draw negatives from")
        weights = np.asarray(support[1:], dtype=np.float64) ** alpha  # (N,), 0^0 is 1
        probabilities = weights / weights.sum()
        self.n_items = len(probabilities)
        self._keep, self._other = _alias_table(probabilities)
        with np.errstate(divide="ignore"):
            log_q = np.log(probabilities, dtype=np.float64)
        self.log_q: Float32Array = np.concatenate([[-np.inf], log_q]).astype(np.float32)
        """(N + 1,) log probability of one draw; -inf for item 0 and what is never drawn."""

    def draw(self, size: int | tuple[int, ...], rng: np.random.Generator) -> Int64Array:
        """Return `size` items in 1..N; the same state of `rng` gives the same items."""
        uniform = rng.random(size)
        return _pick(uniform.ravel(), self._keep, self._other).reshape(uniform.shape)


@njit(cache=True, nogil=True)
def _pick(uniform: Float64Array, keep: Float32Array, other: Int32Array) -> Int64Array:
    """(n,) items of n numbers in 0..1."""
    items = np.empty(len(uniform), np.int64)
    n = len(keep)
    for i in range(len(uniform)):
        place = uniform[i] * n
        cell = min(int(place), n - 1)  # the product may round up to n
        items[i] = 1 + (cell if place - cell < keep[cell] else other[cell])
    return items


@njit(cache=True, nogil=True)
def _alias_table(probabilities: Float64Array) -> tuple[Float32Array, Int32Array]:
    """Per cell (N,): the share that belongs to the item itself, and who gets the rest of it."""
    n = len(probabilities)
    share = probabilities * n
    other = np.arange(n, dtype=np.int32)
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
        poor, rich = small[n_small], large[n_large - 1]
        other[poor] = rich
        share[rich] -= 1.0 - share[poor]
        if share[rich] < 1.0:
            n_large -= 1
            small[n_small] = rich
            n_small += 1
    for k in range(n_large):  # what is left is 1 but for rounding
        share[large[k]] = 1.0
    for k in range(n_small):
        share[small[k]] = 1.0
    return share.astype(np.float32), other
