"""The options of `tune` and `sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from nextclick.core.item_rules import ItemRules
from nextclick.core.metrics import metric_forms
from nextclick.experiments.comparison_options import Track, TrainOnByPart

Metric = Annotated[str, Field(description=f"metric on the validation or test: {metric_forms()}")]
Preset = Annotated[str | None, Field(description="preset of a neural model to start from")]
MinPrefix = Annotated[
    int, Field(ge=1, description="predict only after prefixes of at least this many clicks")
]
Device = Annotated[str, Field(description="compute device of neural models: auto, cpu or cuda")]


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What is searched, and for how long.

    Attributes:
        fixed: parameters with a fixed value.
        grid: parameter to its values: all combinations are tried and nothing else. Empty samples
            points from the search space that the model declares.
        rules: which items may be recommended when the validation is ranked.
        track: trackers that get a run for each trial.
    """

    metric: Metric = "recall@20"
    preset: Preset = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    trials: Annotated[
        int | None, Field(description="largest number of trials over all runs of the study")
    ] = None
    budget: Annotated[
        float | None,
        Field(description="time for all trials over all runs of the study, such as 30m or 2h"),
    ] = None
    sessions: Annotated[
        int | None,
        Field(description="validation sessions to rank, the same in every trial"),
    ] = None
    seed: Annotated[int, Field(ge=0, description="seed of all random numbers")] = 0
    device: Device = "auto"
    min_prefix: MinPrefix = 1
    rules: ItemRules = field(default_factory=ItemRules)
    track: Track = ()


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What is varied, and how it is measured.

    Attributes:
        params: one or two parameters with their values.
        fixed: parameters with a fixed value.
        train_on: as in `CompareOptions`.
    """

    params: Mapping[str, Sequence[Any]]
    metric: Metric = "recall@20"
    preset: Preset = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seeds: Annotated[int, Field(ge=1, description="trainings of each point")] = 1
    part: Annotated[
        str,
        Field(
            description="split to measure on: valid; or test, whose results must not be used to "
            "choose"
        ),
    ] = "valid"
    train_on: TrainOnByPart = None
    device: Device = "auto"
