"""The options of an online report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True, slots=True)
class OnlineOptions:
    """What an online report measures."""

    within: Annotated[
        float,
        Field(gt=0, description="longest time from a list to a click on it, in seconds"),
    ] = 1800.0
    since: Annotated[
        str | None, Field(description="start of the period, such as 2026-05-01 or 2026-05-01T12:00")
    ] = None
    until: Annotated[str | None, Field(description="end of the period, exclusive")] = None
    timezone: Annotated[
        str, Field(description="time zone of the days and of the period, such as Europe/Berlin")
    ] = "UTC"
    positions: Annotated[
        int, Field(ge=1, description="positions of the lists whose click rate is reported")
    ] = 20
    max_skew: Annotated[
        float,
        Field(
            ge=0,
            description="seconds by which the time of a click may differ from the clock of the "
            "server before it is counted as wrong",
        ),
    ] = 300.0
    bootstrap: Annotated[
        int, Field(ge=0, description="bootstrap resamples of the intervals, over sessions")
    ] = 1000
    ab: Annotated[
        str | None,
        Field(
            description="two versions of `serve --ab` to compare, such as v3,v4; with the shares "
            "of the server, v3=0.5,v4=0.5, the split is checked"
        ),
    ] = None
    metric: Annotated[
        Literal["click_through", "hit_rate", "mrr"],
        Field(description="metric that the A/B test compares; choose it before the test"),
    ] = "click_through"
    expected_difference: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="size of the difference that the A/B test is most sensitive to, as a "
            "fraction; choose it before the test",
        ),
    ] = 0.01
