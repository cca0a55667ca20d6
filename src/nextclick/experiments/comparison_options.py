"""The options of `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.evaluation import RankingProtocol
else:
    RankingProtocol = Any  # the class imports compiled code, which `--help` does not need

_TRAIN_ON = Field(
    description="training sessions: all before the test (all), or all before the validation (inner)"
)
TrainOn = Annotated[Literal["inner", "all"], _TRAIN_ON]
TrainOnByPart = Annotated[Literal["inner", "all"] | None, _TRAIN_ON]  # see `training_part`
Track = Annotated[
    tuple[str, ...], Field(description="experiment trackers: mlflow, wandb or both; see `train`")
]
_PARTS = {"all": "train", "inner": "train_inner"}


def training_part(train_on: str | None, part: str = "test") -> str:
    """The part of a store to train on, `train` or `train_inner`.

    Args:
        train_on: `all`, `inner`, or None, which is `all` for part test and `inner` for part valid.
        part: the part to rank afterwards.

    Raises:
        ConfigError: an unknown value, or `all` for part valid.
    """
    choice = train_on or ("inner" if part == "valid" else "all")
    if choice not in _PARTS:
        raise ConfigError(f"train_on must be inner or all, got {train_on!r}")
    if choice == "all" and part == "valid":
        raise ConfigError("train_on must be inner with part valid: all includes the validation")
    return _PARTS[choice]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How models are trained and evaluated.

    Attributes:
        seeds: one training for each; a deterministic model is trained once.
        part: `test`, or `valid` to choose a model.
        train_on: `all` trains on everything before the test, `inner` on everything before the
            validation. None is `all` for part `test` and `inner` for part `valid`.
        ks: the cut-offs K.
        metric: the metric the table is sorted by and significance is tested on: a metric
            of `core.metrics` with a K of `ks`. None is recall at the largest K.
        against: label of the model that gains by prefix length are relative to; None is the
            runner-up.
        settings: parameters as `NAME`, `MODEL.NAME` or `LABEL.NAME`; they override all others.
        protocol: how targets are ranked, and which items may be recommended; None follows the
            store.
        by: segmentations whose metrics are reported as well; see `segmentations_for`.
        prequential: models with a temporal item graph add each block of time to it before they
            predict the next one.
        device: auto, cpu or cuda; for neural models.
        track: trackers that get a run for each training.
    """

    seeds: Sequence[int] = (0,)
    part: str = "test"
    train_on: TrainOnByPart = None
    ks: Sequence[int] = (5, 10, 20)
    metric: Annotated[
        str | None,
        Field(description="metric the table is sorted by and significance is tested on"),
    ] = None
    against: Annotated[
        str | None,
        Field(description="label of the model that gains by prefix length are relative to"),
    ] = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: RankingProtocol | None = None
    by: Sequence[str] = ()
    prequential: bool = False
    device: Annotated[
        str, Field(description="compute device of neural models: auto, cpu or cuda")
    ] = "auto"
    track: Track = ()
