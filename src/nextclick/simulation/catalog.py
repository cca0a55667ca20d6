"""The catalog of a simulated shop, and what is popular in it from day to day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.simulation.simulation_config import SimulationConfig

HEAD = 0.005  # Zipf–Mandelbrot: the popularity of the first 0.5 % of the ranks is nearly flat
MEMORY = 10.0  # days after which a trend has shrunk to 1/e
NOVELTY = 1.5  # a new item starts e^1.5 = 4.5 times as popular as it will be
NOVELTY_DAYS = 4.0
FADE = 0.4  # an item going out of fashion loses this much log-popularity a day
# streams of random numbers, beside that of the sessions, 2
CATALOG, TREND, MOVES = 0, 1, 3


@dataclass(frozen=True, slots=True, eq=False)
class ShopCatalog:
    """What the simulator knows about its N items and C categories, and a model has to find.

    Items of one category stand side by side; its items form a ring, and near on the ring means
    alike.

    Attributes:
        item_ids: (N,) int64, the raw id written to the log; distinct, not dense, not in order.
        category: (N,) int32 in 1..C, as written to the log.
        bounds: (C + 1,) int64; category c holds the items `bounds[c - 1]..bounds[c] - 1`.
        appeal: (N,) float64, log-popularity without trend, novelty and fading.
        release: (N,) int32, the day (0 = first) on which the item enters the shop.
        fading: (N,) int32, the day from which the item loses its popularity; `days` if never.
    """

    item_ids: Int64Array
    category: Int32Array
    bounds: Int64Array
    appeal: Float64Array
    release: Int32Array
    fading: Int32Array


def open_shop(config: SimulationConfig) -> ShopCatalog:
    """Draw the catalog; only `items`, `categories`, `days`, `new_items`, `seed` matter."""
    rng = np.random.default_rng([config.seed, CATALOG])
    n = config.items
    bounds = _bounds(n, config.categories)
    ranks = rng.permutation(n)
    release = np.zeros(n, dtype=np.int32)
    fading = np.full(n, config.days, dtype=np.int32)
    n_new = int(config.new_items * n) if config.days > 1 else 0
    order = rng.permutation(n)
    new, old = order[:n_new], order[n_new : 2 * n_new]
    release[new] = rng.integers(1, max(config.days, 2), len(new))
    fading[old] = rng.integers(1, max(config.days, 2), len(old))
    return ShopCatalog(
        item_ids=scramble(np.arange(n), n),
        category=np.repeat(np.arange(1, config.categories + 1, dtype=np.int32), np.diff(bounds)),
        bounds=bounds,
        appeal=-np.log(ranks + 1 + HEAD * n),
        release=release,
        fading=fading,
    )


def popularity(shop: ShopCatalog, config: SimulationConfig) -> Iterator[Float64Array]:
    """Yield per day (N,) float64, how popular each item is; 0 before its release.

    log-popularity = appeal + trend + novelty − fading. The trend of an item is a random walk
    that is pulled back, x_d = ρ x_{d−1} + √(1 − ρ²) ε, with ρ = e^(−1/10) and ε ~ N(0, drift²),
    so two days k apart correlate with ρ^k and the spread is the same on each day.
    """
    rho = np.exp(-1.0 / MEMORY)
    trend = np.zeros(config.items)
    for day in range(config.days):
        shock = np.random.default_rng([config.seed, TREND, day]).standard_normal(config.items)
        trend = shock if day == 0 else rho * trend + np.sqrt(1 - rho**2) * shock
        age = day - shop.release
        fresh = NOVELTY * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS)
        novelty = np.where(shop.release > 0, fresh, 0.0)
        faded = FADE * np.maximum(day - shop.fading, 0)
        weights = np.exp(shop.appeal + config.drift * trend + novelty - faded)
        yield np.where(age >= 0, weights, 0.0)


def places(shop: ShopCatalog, config: SimulationConfig) -> Iterator[Int64Array]:
    """Yield per day (N,) int64, which item stands at each place of the rings."""
    items = np.arange(config.items)
    for day in range(config.days):
        if day > 0 and config.moves > 0:
            rng = np.random.default_rng([config.seed, MOVES, day])
            moving = np.flatnonzero(rng.random(config.items) < config.moves)
            mixed = moving[np.lexsort((rng.random(len(moving)), shop.category[moving]))]
            items = items.copy()
            items[moving] = items[mixed]  # categories stand side by side: both are by category
        yield items


def scramble(index: Int64Array, n: int) -> Int64Array:
    """Raw ids of the indices 0..n - 1: distinct, in a range eight to sixteen times as wide.

    An odd factor is a bijection modulo a power of two.
    """
    span = 1 << (int(n).bit_length() + 3)
    return 1_000_003 + (index * 0x9E3779B1 + 0x5BD1) % span


def _bounds(n_items: int, n_categories: int) -> Int64Array:
    """(C + 1,) int64: category sizes fall as 1/√rank, and none is empty."""
    share = 1.0 / np.sqrt(np.arange(1, n_categories + 1))
    spare = n_items - n_categories
    ends = np.rint(np.cumsum(share) / share.sum() * spare).astype(np.int64)
    return np.concatenate([[0], ends + np.arange(1, n_categories + 1)])
