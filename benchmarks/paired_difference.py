"""The difference of two models in a metric, with an interval over sessions and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextclick.core.metrics import METRICS, parse_metric
from nextclick.evaluation.ranking_metrics import session_sums
from nextclick.evaluation.significance import Method, all_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int64Array


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its 95 % interval."""

    value: float
    low: float
    high: float

    def points(self) -> str:
        """In percentage points, for a cell of a table."""
        return f"{100 * self.value:+.2f} [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"


def difference(
    first: Sequence[Float64Array], second: Sequence[Float64Array], session: Int64Array, metric: str
) -> Difference:
    """The mean over seeds of the first model minus that of the second.

    The interval is that of `nextclick compare`: sessions are resampled in pairs, and the seeds of
    both models as well. With one seed it applies to the two trained models only.

    Args:
        first: (P,) rank of each target, for each seed.
        second: the same for the other model.
        session: (P,) session of each target, ascending.
        metric: such as recall@20.
    """
    name, k = parse_metric(metric)
    methods = [
        Method(label, *session_sums(session, _by_seed(label, ranks, name, k)))
        for label, ranks in (("first", first), ("second", second))
    ]
    (pair,) = all_pairs(methods)
    if pair.first == "first":
        return Difference(pair.difference, pair.low, pair.high)
    return Difference(-pair.difference, -pair.high, -pair.low)


def mean_percent(ranks: Sequence[Float64Array], metric: str) -> str:
    """A metric in percent, the mean over seeds."""
    name, k = parse_metric(metric)
    values = [METRICS[name](one, k).mean() for one in ranks]
    return f"{100 * sum(values) / len(values):.2f}"


def _by_seed(
    label: str, ranks: Sequence[Float64Array], name: str, k: int
) -> dict[str, Float64Array]:
    return {f"{label} {seed}": METRICS[name](one, k) for seed, one in enumerate(ranks)}
