"""The options of `refresh`: the check before publication, and the training on new sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from nextclick.core.metrics import metric_forms


@dataclass(frozen=True, slots=True)
class PublishCheckOptions:
    """The check that a refreshed model must pass to be published."""

    holdout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="share of the new sessions, the latest, held out for the check; 0 skips "
            "the check",
        ),
    ] = 0.1
    metric: Annotated[str, Field(description=f"metric of the check: {metric_forms()}")] = (
        "recall@20"
    )
    tolerance: Annotated[
        float,
        Field(ge=0, le=1, description="largest accepted decrease of the metric, as a fraction"),
    ] = 0.01
    n_bootstrap: Annotated[int, Field(ge=1, description="bootstrap resamples of the interval")] = (
        1000
    )


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """How a model without an exact update is trained on the new sessions."""

    epochs: Annotated[
        int,
        Field(
            ge=0,
            description="largest number of epochs over the new sessions; 0 trains nothing: new "
            "items get rows, and a temporal item graph advances",
        ),
    ] = 1
    minutes: Annotated[
        float | None,
        Field(
            gt=0,
            description="time limit of all training; the result is then not reproducible",
        ),
    ] = None
    rate: Annotated[
        float, Field(gt=0, description="learning rate as a share of that of the first training")
    ] = 0.5
    replay: Annotated[
        float,
        Field(ge=0, description="older sessions, drawn at random, for each new session"),
    ] = 0.0
    min_user_clicks: Annotated[
        int,
        Field(
            ge=0,
            description="models with a row per user: clicks in the new log that give a new user a "
            "row; 0 adds none",
        ),
    ] = 5
    seed: Annotated[int, Field(ge=0, description="seed of all random numbers")] = 0
    device: Annotated[
        str, Field(description="compute device of neural models: auto, cpu or cuda")
    ] = "auto"
