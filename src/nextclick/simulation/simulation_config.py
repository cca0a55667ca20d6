"""The parameters of a simulated shop."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Annotated

from pydantic import Field

from nextclick.core.config import build_config
from nextclick.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]


@dataclasses.dataclass(frozen=True, slots=True)
class SimulationConfig:
    """How large the log is, and how strong each structure in it is; 0 switches one off.

    What each structure does to the log stands in `nextclick.simulation.simulate`.
    """

    events: Annotated[int, Field(ge=1, description="clicks in the log, met exactly")] = 1_000_000
    items: Annotated[int, Field(ge=1, le=2**30, description="size of the catalog")] = 10_000
    users: Annotated[int, Field(ge=1, le=2**40, description="visitors")] = 50_000
    days: Annotated[int, Field(ge=1, le=3650, description="length of the log")] = 30
    start: Annotated[datetime.date, Field(description="first day (UTC), as YYYY-MM-DD")] = (
        datetime.date(2026, 3, 2)
    )
    categories: Annotated[int, Field(ge=1, description="groups of items, at most one per item")] = (
        50
    )
    length: Annotated[float, Field(ge=1.5, le=50, description="mean clicks per session")] = 5.5
    seed: Annotated[int, Field(ge=0, description="the same config gives the same file")] = 0
    purpose: Annotated[
        Share, Field(description="share of sessions that look for something, in one category")
    ] = 0.85
    similarity: Annotated[
        Share, Field(description="how often a click follows the links between items")
    ] = 0.85
    dwell_signal: Annotated[
        Share, Field(description="how often the time spent on an item tells the interest in it")
    ] = 1.0
    reclick: Annotated[
        Share, Field(description="how often a visitor thinks of going back to an earlier item")
    ] = 0.2
    taste: Annotated[
        Share, Field(description="how often a visitor follows tastes of their own")
    ] = 0.6
    anonymous: Annotated[
        Share, Field(description="share of sessions whose visitor is not written down")
    ] = 0.3
    drift: Annotated[
        float, Field(ge=0, le=3, description="how far popularity wanders (σ of its logarithm)")
    ] = 0.7
    new_items: Annotated[
        float,
        Field(ge=0, le=0.5, description="share of items released during the log; as many fade"),
    ] = 0.1
    moves: Annotated[
        Share, Field(description="share of items that change places in their category each night")
    ] = 0.0


def checked(config: SimulationConfig) -> SimulationConfig:
    """Return a config whose values are in range and of their types.

    Raises:
        ConfigError: a parameter out of its range, or more categories than items.
    """
    config = build_config(SimulationConfig, dataclasses.asdict(config), "simulation")
    if config.categories > config.items:
        raise ConfigError(
            f"simulation: categories must be at most items ({config.items}), "
            f"got {config.categories}: ask for fewer categories or more items"
        )
    return config
