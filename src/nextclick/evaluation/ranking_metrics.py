"""Metrics by prefix, by session and by prefix length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array, Int32Array, Int64Array

LONGEST = 20  # prefixes of at least this length share a row of the table (NARM, Table 5)


@dataclass(frozen=True, slots=True)
class LengthRow:
    """Metrics of the prefixes of one length.

    Attributes:
        length: clicks before the target; the row `LONGEST` includes all longer prefixes.
        prefixes: number of prefixes, the denominator.
        hits: cut-off K to the number of prefixes with the target among the top K.
        metrics: name such as "mrr@20" to the mean over these prefixes.
    """

    length: int
    prefixes: int
    hits: dict[int, int]
    metrics: dict[str, float]

    @property
    def label(self) -> str:
        """`1` to `19`, or `20+`."""
        return f"{self.length}+" if self.length == LONGEST else str(self.length)


def per_prefix(ranks: Float64Array, ks: Sequence[int]) -> dict[str, Float64Array]:
    """Every metric at every cut-off: name ("recall@20") to (P,) float64.

    >>> list(per_prefix(np.array([1.0]), [10, 20]))
    ['recall@10', 'mrr@10', 'ndcg@10', 'recall@20', 'mrr@20', 'ndcg@20']
    """
    return {f"{name}@{k}": metric(ranks, k) for k in ks for name, metric in METRICS.items()}


def session_sums(
    session: Int64Array, metrics: dict[str, Float64Array]
) -> tuple[Float64Array, Int64Array]:
    """Sum metrics over the prefixes of each session.

    Args:
        session: (P,) int64, session of each prefix, ascending.
        metrics: M arrays (P,), with P at least 1.

    Returns:
        (S, M) float64 sums and (S,) int64 numbers of prefixes of the S sessions that occur.
    """
    starts = np.flatnonzero(np.diff(session, prepend=session[0] - 1))  # (S,)
    sums = np.empty((len(starts), len(metrics)))
    for m, values in enumerate(metrics.values()):
        sums[:, m] = np.add.reduceat(values, starts)
    return sums, np.diff(starts, append=len(session))


def by_length(
    position: Int32Array, ranks: Float64Array, metrics: dict[str, Float64Array], ks: Sequence[int]
) -> tuple[LengthRow, ...]:
    """Metrics by the number of clicks before the target (NARM, Table 5).

    Args:
        position: (P,) int32, clicks before the target.
        ranks: (P,) float64.
        metrics: `per_prefix` of `ranks`.
        ks: cut-offs of the hits.

    Returns:
        A row for each length that occurs, ascending.
    """
    length = np.minimum(position, LONGEST)
    prefixes = np.bincount(length, minlength=LONGEST + 1)
    hits = {k: np.bincount(length[ranks <= k], minlength=LONGEST + 1) for k in ks}
    sums = {
        name: np.bincount(length, weights=values, minlength=LONGEST + 1)
        for name, values in metrics.items()
    }
    return tuple(
        LengthRow(
            length=int(n),
            prefixes=int(prefixes[n]),
            hits={k: int(counts[n]) for k, counts in hits.items()},
            metrics={name: float(total[n] / prefixes[n]) for name, total in sums.items()},
        )
        for n in np.flatnonzero(prefixes)
    )
