"""Accuracy by the number of clicks before the target (NARM, Table 5)."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from nextclick.evaluation.ranking_metrics import LONGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.report.report_data import Entry

FEWEST_DRAWN = 30  # prefixes of a length; of fewer, one hit more would be a peak


def by_length(entries: Sequence[Entry], against: str | None, k: int) -> dict[str, Any]:
    """Hits by length, means over the seeds, and what the best gains on another.

    Args:
        entries: the best first.
        against: label of the other; the next in the table if it is None, or gave nothing.
        k: of Recall@K, whose hits are counted.
    """
    labels = [entry.label for entry in entries]
    rest = labels[1:]
    other = against if against in rest else next(iter(rest), None)
    told = {entry.label: [_rows(run.result.evaluation) for run in entry.runs] for entry in entries}
    rows = []
    for length, first in told[labels[0]][0].items():
        hits = {
            label: fmean(one[length]["hits"][str(k)] for one in runs)
            for label, runs in told.items()
        }
        gain = None
        if other is not None and hits[other] > 0:
            gain = hits[labels[0]] / hits[other] - 1
        rows.append(
            {
                "length": f"{length}+" if length == LONGEST else str(length),
                "prefixes": first["prefixes"],
                "hits": hits,
                "gain": gain,
            }
        )
    return {"best": labels[0], "against": other, "rows": rows}


def drawn(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `by_length` that a figure shows; in a small test those with most prefixes."""
    least = min(FEWEST_DRAWN, max(row["prefixes"] for row in rows))
    return [row for row in rows if row["prefixes"] >= least]


def _rows(evaluation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    # the keys of an object are text once it has been JSON
    return {
        row["length"]: row | {"hits": {str(k): n for k, n in row["hits"].items()}}
        for row in evaluation["by_length"]
    }
