"""The registry of ranking metrics: a metric is one function and one entry in `METRICS`.

One item of the list, the one clicked next, is relevant. With its rank r (infinite if it cannot be
recommended):

    Recall@K = 1 if r ≤ K, else 0           (HR@K, and the "P@K" of the SR-GNN line of papers)
    MRR@K    = 1/r if r ≤ K, else 0
    NDCG@K   = 1/log2(1 + r) if r ≤ K, else 0

A result is the mean over prefixes. Evaluation, validation, help texts, tables and reports read the
registry. Larger values are better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import Float64Array


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the rank of the target.

    Attributes:
        name: lower-case letters, as in `recall@20`.
        label: the name in tables and reports, as in `Recall@20`.
        values: (P,) float64 ranks and a cut-off K to (P,) float64, larger is better.
    """

    name: str
    label: str
    values: Callable[[Float64Array, float], Float64Array]

    def __call__(self, ranks: Float64Array, k: float) -> Float64Array:
        """(P,) float64, the metric of each prefix at cut-off k."""
        return self.values(ranks, k)


def recall(ranks: Float64Array, k: float) -> Float64Array:
    """(P,) float64, Recall@k of each prefix.

    >>> recall(np.array([1.0, 3.0, np.inf]), 2).tolist()
    [1.0, 0.0, 0.0]
    """
    return (ranks <= k).astype(np.float64)


def mrr(ranks: Float64Array, k: float) -> Float64Array:
    """(P,) float64, MRR@k of each prefix: the reciprocal rank, 0 beyond k.

    >>> mrr(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def ndcg(ranks: Float64Array, k: float) -> Float64Array:
    """(P,) float64, NDCG@k of each prefix; the ideal list has gain 1.

    >>> ndcg(np.array([1.0, 3.0, 4.0]), 3).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("recall", "Recall", recall),
        Metric("mrr", "MRR", mrr),
        Metric("ndcg", "NDCG", ndcg),
    )
}


def metric_forms() -> str:
    """The metrics that may be named, for help texts: `recall@K, mrr@K or ndcg@K`."""
    *others, last = (f"{name}@K" for name in METRICS)
    return f"{', '.join(others)} or {last}" if others else last


def metric_label(metric: str) -> str:
    """`recall@20` as it is printed.

    >>> metric_label("mrr@20")
    'MRR@20'
    """
    name, _, k = metric.partition("@")
    return f"{METRICS[name].label}@{k}"


def parse_metric(metric: str) -> tuple[str, int]:
    """Split `recall@20` into the name and K.

    Raises:
        ConfigError: the text is not a metric of the registry with a cut-off.
    """
    match = re.fullmatch(r"([a-z]+)@([1-9]\d*)", metric)
    if match is None or match[1] not in METRICS:
        raise ConfigError(f"metric must be {metric_forms()}, such as mrr@20; got {metric!r}")
    return match[1], int(match[2])
