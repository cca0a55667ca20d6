"""The item table of the simulated shop: what a visitor sees of an item.

category
    The category of the item, as in the log.
brand
    A brand makes `BRAND_ITEMS` items in a row on the ring of a category. Items near each other on
    the ring are similar, so a brand says which items are clicked together.
price
    Log-normal: the median of the category times the median of the brand (σ = 0.5 each), times the
    item's own factor (σ = 0.2). One in `NO_PRICE` items has no price.
title
    Words for the category and the brand, and a number.

With `moves` above 0 the table describes the first day, because items later swap positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.simulation.catalog import build_catalog

if TYPE_CHECKING:
    from nextclick.simulation.simulation_config import SimulationConfig

BRAND_ITEMS = 8
NO_PRICE = 50
FEATURES = 4  # random stream; the catalog and the sessions have others


def item_frame(config: SimulationConfig) -> pl.DataFrame:
    """The item table of a shop, one row per item, in the order of the ids.

    Args:
        config: a valid config.
    """
    rng = np.random.default_rng([config.seed, FEATURES])
    shop = build_catalog(config)
    category = shop.category - 1  # (N,), in 0..C - 1
    position = np.arange(config.items) - shop.bounds[category]
    # a brand has items of one category only
    segment = category * config.items + position // BRAND_ITEMS
    _, brand = np.unique(segment, return_inverse=True)  # (N,)
    log_price = (
        3.0
        + 0.5 * rng.standard_normal(config.categories)[category]
        + 0.5 * rng.standard_normal(int(brand.max()) + 1)[brand]
        + 0.2 * rng.standard_normal(config.items)
    )
    frame = pl.DataFrame(
        {
            "item_id": shop.item_ids,
            "category": shop.category,
            "brand": brand + 1,
            "price": np.exp(log_price).round(2),
        }
    )
    has_price = pl.Series(rng.integers(0, NO_PRICE, config.items) > 0)
    return frame.select(
        "item_id",
        pl.format("category-{}", "category").alias("category"),
        pl.format("brand-{}", "brand").alias("brand"),
        pl.when(has_price).then("price").alias("price"),
        pl.format("Ware{} by Maker{} no. {}", "category", "brand", "item_id").alias("title"),
    ).sort("item_id")
