"""The parameters of a load test."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

from pydantic import Field

from nextclick.core.config import build_config
from nextclick.errors import ConfigError

Positive = Annotated[float, Field(gt=0, le=86_400)]


@dataclasses.dataclass(frozen=True, slots=True)
class LoadConfig:
    """When requests are sent, and what counts as an answer in time."""

    rates: Annotated[
        tuple[float, ...], Field(description="requests a second, one measurement for each")
    ] = (100.0,)
    seconds: Annotated[Positive, Field(description="that each rate is measured")] = 10.0
    warm_up: Annotated[
        float, Field(ge=0, le=86_400, description="seconds at each rate before it is measured")
    ] = 2.0
    arrivals: Annotated[
        Literal["poisson", "uniform"],
        Field(description="at random, as independent visitors come, or evenly"),
    ] = "poisson"
    connections: Annotated[
        int, Field(ge=1, le=10_000, description="kept open; each has one request at a time")
    ] = 64
    timeout: Annotated[
        Positive, Field(description="seconds from when a request was due until it has failed")
    ] = 5.0
    target_ms: Annotated[
        Positive, Field(description="the 99th percentile that is wanted, in milliseconds")
    ] = 10.0
    seed: Annotated[int, Field(ge=0, description="the same seed gives the same arrivals")] = 0


@dataclasses.dataclass(frozen=True, slots=True)
class WorkConfig:
    """What is asked."""

    mode: Annotated[
        Literal["events", "recommend", "batch"],
        Field(description="live sessions click by click, whole prefixes, or many of those at once"),
    ] = "events"
    k: Annotated[int, Field(ge=1, le=1000, description="items asked for")] = 20
    batch_size: Annotated[
        int, Field(ge=1, le=256, description="sessions in a request of batch")
    ] = 16
    think: Annotated[
        float, Field(gt=0, le=3600, description="seconds between the clicks of a live session")
    ] = 1.0
    model: Annotated[
        str | None, Field(description="which of the served models, none for the first one")
    ] = None


def checked(config: LoadConfig) -> LoadConfig:
    """The config, its values in range.

    Raises:
        ConfigError: one is not.
    """
    for rate in config.rates:
        if not (math.isfinite(rate) and 0 < rate <= 1e6):
            raise ConfigError(
                f"--rate must be above 0 and at most 1,000,000 requests a second, got {rate:g}"
            )
    if not config.rates:
        raise ConfigError("--rate must name at least one rate, such as 100 or 100,200,500")
    return build_config(LoadConfig, dataclasses.asdict(config), "loadtest")


def checked_work(config: WorkConfig) -> WorkConfig:
    """The config, its values in range.

    Raises:
        ConfigError: one is not.
    """
    return build_config(WorkConfig, dataclasses.asdict(config), "loadtest")
