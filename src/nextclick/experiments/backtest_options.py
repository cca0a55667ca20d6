"""The options of `backtest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from nextclick.evaluation import RankingProtocol
else:
    RankingProtocol = Any  # the class imports compiled code, which `--help` does not need


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """The test windows and what is trained before each."""

    windows: Annotated[int, Field(ge=2, description="number of test windows")] = 5
    days: Annotated[float | None, Field(gt=0, description="length of a window in days")] = None
    train_days: Annotated[
        float | None, Field(gt=0, description="length of the training period in days")
    ] = None
    min_item_support: Annotated[
        int | None,
        Field(ge=1, description="minimum number of clicks of an item before the window"),
    ] = None


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """How models are trained and evaluated in each window.

    Attributes:
        windows: the windows.
        seeds: one training for each; a deterministic model is trained once.
        ks: the cut-offs K.
        metric: the metric the table is sorted by; None is recall at the largest K.
        settings: parameters, as in `CompareOptions`.
        protocol: how targets are ranked, and which items may be recommended; None follows the
            store.
        device: auto, cpu or cuda; for neural models.
    """

    windows: WindowOptions = field(default_factory=WindowOptions)
    seeds: Sequence[int] = (0,)
    ks: Sequence[int] = (5, 10, 20)
    metric: Annotated[str | None, Field(description="metric the table is sorted by")] = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: RankingProtocol | None = None
    device: Annotated[
        str, Field(description="compute device of neural models: auto, cpu or cuda")
    ] = "auto"
