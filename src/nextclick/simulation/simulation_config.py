"""The parameters of the simulator."""

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
    """The size of the log and the strength of each of its structures; 0 disables a structure.

    `nextclick.simulation.simulate` specifies the structures.
    """

    events: Annotated[int, Field(ge=1, description="exact number of clicks in the log")] = 1_000_000
    items: Annotated[int, Field(ge=1, le=2**30, description="size of the catalog")] = 10_000
    users: Annotated[int, Field(ge=1, le=2**40, description="number of visitors")] = 50_000
    days: Annotated[int, Field(ge=1, le=3650, description="length of the log in days")] = 30
    start: Annotated[datetime.date, Field(description="first day (UTC), as YYYY-MM-DD")] = (
        datetime.date(2026, 3, 2)
    )
    categories: Annotated[int, Field(ge=1, description="item categories, at most `items`")] = 50
    length: Annotated[float, Field(ge=1.5, le=50, description="mean clicks per session")] = 5.5
    seed: Annotated[int, Field(ge=0, description="random seed of the simulation")] = 0
    purpose: Annotated[
        Share, Field(description="share of sessions with target items in one category")
    ] = 0.85
    similarity: Annotated[
        Share, Field(description="probability that a click follows an item-to-item link")
    ] = 0.85
    dwell_signal: Annotated[
        Share, Field(description="probability that the dwell time reflects the interest")
    ] = 1.0
    reclick: Annotated[
        Share, Field(description="probability that a visitor considers an earlier item again")
    ] = 0.2
    repeats: Annotated[
        Share | None,
        Field(
            description="share of the clicks after the first that return to an item of the session;"
            " replaces `reclick`; unset leaves it to `reclick` and chance"
        ),
    ] = None
    taste: Annotated[
        Share, Field(description="probability that a visitor follows personal preferences")
    ] = 0.6
    anonymous: Annotated[Share, Field(description="share of sessions without a user id")] = 0.3
    drift: Annotated[
        float, Field(ge=0, le=3, description="standard deviation of the daily log-popularity")
    ] = 0.7
    new_items: Annotated[
        float,
        Field(ge=0, le=0.5, description="share of items released during the log; as many fade"),
    ] = 0.1
    moves: Annotated[
        Share, Field(description="share of items that swap positions in their category every day")
    ] = 0.0


def validate_config(config: SimulationConfig) -> SimulationConfig:
    """Return the config with validated and converted values.

    Raises:
        ConfigError: a parameter is out of range, or there are more categories than items.
    """
    config = build_config(SimulationConfig, dataclasses.asdict(config), "simulation")
    if config.categories > config.items:
        raise ConfigError(
            f"simulation: categories must be at most items ({config.items}), "
            f"got {config.categories}; reduce categories or increase items"
        )
    return config
