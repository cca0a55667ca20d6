"""The catalog of the simulated shop, its daily popularity and its daily item order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.simulation.simulation_config import SimulationConfig

HEAD = 0.005  # Zipf–Mandelbrot shift: popularity is nearly flat in the first 0.5 % of the ranks.
TREND_DAYS = 10.0  # The autocorrelation of a trend decays to 1/e in this many days.
NOVELTY = 1.5  # Initial log-popularity boost of a new item, a factor of e^1.5 = 4.5.
NOVELTY_DAYS = 4.0  # The boost decays to 1/e in this many days.
FADE = 0.4  # Daily loss of log-popularity of a fading item.
# random streams; stream 2 generates the sessions
CATALOG, TREND, MOVES = 0, 1, 3


@dataclass(frozen=True, slots=True, eq=False)
class ShopCatalog:
    """The ground truth of N items in C categories, which the log does not contain.

    The items of a category have consecutive indices and form a ring. Items close to each other on
    the ring are similar.

    Attributes:
        item_ids: (N,) int64, the raw ids in the log; distinct, neither dense nor sorted.
        category: (N,) int32 in 1..C, as in the log.
        bounds: (C + 1,) int64; category c has the items `bounds[c - 1]..bounds[c] - 1`.
        appeal: (N,) float64, log-popularity without trend, novelty and fading.
        release: (N,) int32, the day on which an item is released; 0 is the first day.
        fading: (N,) int32, the day on which an item starts to fade; `days` if it never does.
    """

    item_ids: Int64Array
    category: Int32Array
    bounds: Int64Array
    appeal: Float64Array
    release: Int32Array
    fading: Int32Array


def build_catalog(config: SimulationConfig) -> ShopCatalog:
    """Draw the catalog; only `items`, `categories`, `days`, `new_items` and `seed` affect it."""
    rng = np.random.default_rng([config.seed, CATALOG])
    n = config.items
    bounds = _bounds(n, config.categories)
    ranks = rng.permutation(n)
    release = np.zeros(n, dtype=np.int32)
    fading = np.full(n, config.days, dtype=np.int32)
    n_new = int(config.new_items * n) if config.days > 1 else 0
    order = rng.permutation(n)
    released, faded = order[:n_new], order[n_new : 2 * n_new]
    release[released] = rng.integers(1, max(config.days, 2), len(released))
    fading[faded] = rng.integers(1, max(config.days, 2), len(faded))
    return ShopCatalog(
        item_ids=scramble(np.arange(n), n),
        category=np.repeat(np.arange(1, config.categories + 1, dtype=np.int32), np.diff(bounds)),
        bounds=bounds,
        appeal=-np.log(ranks + 1 + HEAD * n),
        release=release,
        fading=fading,
    )


def popularity(shop: ShopCatalog, config: SimulationConfig) -> Iterator[Float64Array]:
    """Yield per day (N,) float64, the popularity of each item; 0 before its release.

    log-popularity = appeal + trend + novelty − fading

    The trend of an item is an AR(1) process, x_d = ρ x_{d−1} + √(1 − ρ²) ε, with ρ = e^(−1/10) and
    ε ~ N(0, drift²). Its variance is constant, and the correlation at a lag of k days is ρ^k.
    """
    rho = np.exp(-1.0 / TREND_DAYS)
    trend = np.zeros(config.items)
    for day in range(config.days):
        shock = np.random.default_rng([config.seed, TREND, day]).standard_normal(config.items)
        trend = shock if day == 0 else rho * trend + np.sqrt(1 - rho**2) * shock
        age = day - shop.release
        boost = NOVELTY * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS)
        novelty = np.where(shop.release > 0, boost, 0.0)
        fading = FADE * np.maximum(day - shop.fading, 0)
        weights = np.exp(shop.appeal + config.drift * trend + novelty - fading)
        yield np.where(age >= 0, weights, 0.0)


def ring_items(shop: ShopCatalog, config: SimulationConfig) -> Iterator[Int64Array]:
    """Yield per day (N,) int64, the item at each position of the rings."""
    items = np.arange(config.items)
    for day in range(config.days):
        if day > 0 and config.moves > 0:
            rng = np.random.default_rng([config.seed, MOVES, day])
            moved = np.flatnonzero(rng.random(config.items) < config.moves)
            shuffled = moved[np.lexsort((rng.random(len(moved)), shop.category[moved]))]
            items = items.copy()
            items[moved] = items[shuffled]  # both are sorted by category
        yield items


def scramble(index: Int64Array, n: int) -> Int64Array:
    """Distinct raw ids for (m,) indices in 0..n - 1, in a range 8 to 16 times as wide.

    Multiplication by an odd factor is a bijection modulo a power of two.
    """
    span = 1 << (int(n).bit_length() + 3)
    return 1_000_003 + (index * 0x9E3779B1 + 0x5BD1) % span


def _bounds(n_items: int, n_categories: int) -> Int64Array:
    """(C + 1,) int64, bounds of the categories; the sizes are at least 1 and fall as 1/√rank."""
    share = 1.0 / np.sqrt(np.arange(1, n_categories + 1))
    n_remaining = n_items - n_categories
    ends = np.rint(np.cumsum(share) / share.sum() * n_remaining).astype(np.int64)
    return np.concatenate([[0], ends + np.arange(1, n_categories + 1)])
