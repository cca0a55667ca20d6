"""Kernels that sample items by popularity, by similarity and by links, for one day.

Items are indices 0..N - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int32Array, Int64Array

LINK_DISTANCE = 5.0  # mean distance on the ring, in items
COMPLEMENT_SHARE = 0.35  # of the clicks that follow a link
COMPLEMENT_DISTANCE = 1.25
N_PROPOSALS = 4
EPSILON = 1e-12  # avoids log(0)
NONE = cast("int", np.int64(-1))  # no category or item; a literal would be compiled separately


class ItemSampler(NamedTuple):
    """The sampling tables of one day.

    Attributes:
        category: (N,) int64 in 0..C - 1, by position on the rings.
        bounds: (C + 1,) int64, bounds of the items of each category.
        familiar: (C + 1,) float64, cumulative share of the overall popularity of the categories.
        weights: (N,) float64, popularity on this day.
        running: (N + 1,) float64, 0 and the cumulative sum of `weights`.
        mass: (C + 1,) float64, `running` at the bounds of the categories.
        guide: (N,) int32, see `guide_table`.
    """

    category: Int64Array
    bounds: Int64Array
    familiar: Float64Array
    weights: Float64Array
    running: Float64Array
    mass: Float64Array
    guide: Int32Array


@njit(cache=True)
def guide_table(bounds: Int64Array, running: Float64Array) -> Int32Array:
    """(N,) int32, guide table for inverse-CDF sampling.

    For each category of n items, the item at the popularity quantiles 0/n, 1/n, …, (n - 1)/n. A
    linear search from there needs one or two steps on average.
    """
    guide = np.empty(len(running) - 1, dtype=np.int32)
    for c in range(len(bounds) - 1):
        low, high = bounds[c], bounds[c + 1]
        total = running[high] - running[low]
        item = low
        for k in range(high - low):
            threshold = running[low] + k / (high - low) * total
            while item < high - 1 and running[item + 1] <= threshold:
                item += 1
            guide[low + k] = item
    return guide


@njit(cache=True)
def find_interval(running: Float64Array, value: float) -> int:
    """Return the k with running[k] <= value < running[k + 1], or the last k, by binary search."""
    low, high = 0, len(running) - 2
    while low < high:
        middle = (low + high) // 2
        if running[middle + 1] > value:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def sample_popular(rng: np.random.Generator, sampler: ItemSampler, category: int) -> int:
    """Draw an item by popularity, from a category or from all items for category NONE."""
    mass, running = sampler.mass, sampler.running
    if category < 0 or mass[category + 1] <= mass[category]:  # or no item of it is released yet
        category = find_interval(mass, rng.random() * mass[-1])
    low, high = sampler.bounds[category], sampler.bounds[category + 1]
    quantile = rng.random()
    threshold = running[low] + quantile * (running[high] - running[low])
    item = np.int64(sampler.guide[low + int(quantile * (high - low))])
    while item < high - 1 and running[item + 1] <= threshold:
        item += 1
    while item > low and running[item + 1] == running[item]:  # not released; a rounding error
        item -= 1
    return int(item)


@njit(cache=True)
def sample_near(
    rng: np.random.Generator, sampler: ItemSampler, center: int, distance: float, current: int
) -> int:
    """Propose items around `center` and draw one other than `current` by popularity.

    Distances are Laplace-distributed with mean `distance`.
    """
    c = sampler.category[center]
    start, size = sampler.bounds[c], sampler.bounds[c + 1] - sampler.bounds[c]
    weights = sampler.weights
    chosen, total = -1, 0.0
    for _ in range(N_PROPOSALS):
        uniform = 2.0 * rng.random() - 1.0  # the sign is the direction
        step = int(math.copysign(distance * math.log(max(abs(uniform), EPSILON)), uniform))
        position = center - start + step
        if not 0 <= position < size:
            position %= size
        weight = weights[start + position]
        if weight > 0 and start + position != current:
            total += weight
            if rng.random() * total < weight:
                chosen = start + position
    return chosen if chosen >= 0 else sample_popular(rng, sampler, c)


@njit(cache=True)
def sample_linked(rng: np.random.Generator, sampler: ItemSampler, item: int, current: int) -> int:
    """Draw a substitute near `item`, or a complement near a third of the ring ahead."""
    if rng.random() >= COMPLEMENT_SHARE:
        return sample_near(rng, sampler, item, LINK_DISTANCE, current)
    c = sampler.category[item]
    start, size = sampler.bounds[c], sampler.bounds[c + 1] - sampler.bounds[c]
    partner = start + (item - start + size // 3) % size
    return sample_near(rng, sampler, partner, COMPLEMENT_DISTANCE, current)
