"""How items are drawn in a simulated shop: kernels over the shop as it stands on one day.

Items are indices 0..N - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int32Array, Int64Array

LINK_REACH = 5.0  # items, mean distance on the ring
COMPLEMENT = 0.35  # of the moves along a link
COMPLEMENT_REACH = 1.25
PROPOSALS = 4
NOTHING = 1e-12
NONE = cast("int", np.int64(-1))  # no category or item; a literal would be compiled separately


class ItemSampler(NamedTuple):
    """The shop on one day.

    Attributes:
        category: (N,) int64 in 0..C - 1.
        bounds: (C + 1,) int64, where the items of each category begin and end.
        familiar: (C + 1,) float64, running share of the categories' popularity over all days.
        weights: (N,) float64, popularity today.
        running: (N + 1,) float64, 0 and the running sum of `weights`.
        mass: (C + 1,) float64, `running` where the categories begin and end.
        guide: (N,) int32, see `guide_draws`.
    """

    category: Int64Array
    bounds: Int64Array
    familiar: Float64Array
    weights: Float64Array
    running: Float64Array
    mass: Float64Array
    guide: Int32Array


@njit(cache=True)
def guide_draws(bounds: Int64Array, running: Float64Array) -> Int32Array:
    """(N,) int32, where to begin to look for an item at popularity quantile 0/n, 1/n … (n - 1)/n.

    In each category of n items; on average the item drawn is the first or the second one from here.
    """
    guide = np.empty(len(running) - 1, dtype=np.int32)
    for c in range(len(bounds) - 1):
        low, high = bounds[c], bounds[c + 1]
        total = running[high] - running[low]
        item = low
        for k in range(high - low):
            wanted = running[low] + k / (high - low) * total
            while item < high - 1 and running[item + 1] <= wanted:
                item += 1
            guide[low + k] = item
    return guide


@njit(cache=True)
def find(running: Float64Array, wanted: float) -> int:
    """Return the part k with running[k] <= wanted < running[k + 1]; the last one at the end."""
    low, high = 0, len(running) - 2
    while low < high:
        middle = (low + high) // 2
        if running[middle + 1] > wanted:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def popular(rng: np.random.Generator, shelves: ItemSampler, category: int) -> int:
    """Draw an item of a category by today's popularity; of all of them for category NONE."""
    mass, running = shelves.mass, shelves.running
    if category < 0 or mass[category + 1] <= mass[category]:  # or nothing of it is released yet
        category = find(mass, rng.random() * mass[-1])
    low, high = shelves.bounds[category], shelves.bounds[category + 1]
    quantile = rng.random()
    wanted = running[low] + quantile * (running[high] - running[low])
    item = np.int64(shelves.guide[low + int(quantile * (high - low))])
    while item < high - 1 and running[item + 1] <= wanted:
        item += 1
    while item > low and running[item + 1] == running[item]:  # not released; rounding led here
        item -= 1
    return int(item)


@njit(cache=True)
def near(
    rng: np.random.Generator, shelves: ItemSampler, center: int, reach: float, current: int
) -> int:
    """Propose items around `center` and take one of them by today's popularity, not `current`."""
    c = shelves.category[center]
    start, size = shelves.bounds[c], shelves.bounds[c + 1] - shelves.bounds[c]
    weights = shelves.weights
    chosen, total = -1, 0.0
    for _ in range(PROPOSALS):
        side = 2.0 * rng.random() - 1.0  # its sign is the direction
        step = int(math.copysign(reach * math.log(max(abs(side), NOTHING)), side))
        place = center - start + step
        if not 0 <= place < size:
            place %= size
        weight = weights[start + place]
        if weight > 0 and start + place != current:
            total += weight
            if rng.random() * total < weight:
                chosen = start + place
    return chosen if chosen >= 0 else popular(rng, shelves, c)


@njit(cache=True)
def linked(rng: np.random.Generator, shelves: ItemSampler, item: int, current: int) -> int:
    """Return a substitute of `item` (near it) or a complement (near a third of the ring ahead)."""
    if rng.random() >= COMPLEMENT:
        return near(rng, shelves, item, LINK_REACH, current)
    c = shelves.category[item]
    start, size = shelves.bounds[c], shelves.bounds[c + 1] - shelves.bounds[c]
    partner = start + (item - start + size // 3) % size
    return near(rng, shelves, partner, COMPLEMENT_REACH, current)
