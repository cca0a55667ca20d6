"""The options of `compare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.evaluation import RankingProtocol


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How models are trained and measured.

    Attributes:
        seeds: one training for each; a deterministic model is trained once.
        part: `test`, or `valid` to select a model.
        learn: part that models learn from: `train`, everything before the test, or `fit`,
            everything before the validation. None is `train` for the test.
        ks: the cut-offs K.
        metric: sorts the table and decides significance: recall@K, mrr@K or ndcg@K with a K of
            `ks`. None is recall at the largest K.
        against: label of the model that gains by prefix length are relative to; None is the
            runner-up.
        settings: additional parameters, as `NAME`, `MODEL.NAME` or `LABEL.NAME`.
        protocol: how ranks are counted; None follows the store.
        prequential: models with a temporal item graph observe each block of time of the part
            before the next one is ranked.
        device: auto, cpu or cuda; for neural models.
    """

    seeds: Sequence[int] = (0,)
    part: str = "test"
    learn: str | None = None
    ks: Sequence[int] = (5, 10, 20)
    metric: str | None = None
    against: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: RankingProtocol | None = None
    prequential: bool = False
    device: str = "auto"
