"""Recall at 5 to 20 (NARM, Figure 5) and MRR at 10 to all (ASARS, Figure 6)."""

from __future__ import annotations

from math import inf
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.report.report_data import Entry

CUTOFFS = {"recall": (5.0, 10.0, 15.0, 20.0), "mrr": (10.0, 20.0, 30.0, 40.0, inf)}


def at_cutoffs(entries: Sequence[Entry]) -> dict[str, dict[str, dict[str, float]]]:
    """Metric, then label, then K ("all" for no cut) to the mean over the seeds.

    Lines whose ranks were not kept are left out.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for metric, ks in CUTOFFS.items():
        found[metric] = {
            entry.label: {
                "all" if k == inf else f"{k:g}": fmean(
                    run.ranks.mean(metric, k) for run in entry.runs if run.ranks is not None
                )
                for k in ks
            }
            for entry in entries
            if all(run.ranks is not None for run in entry.runs)
        }
    return found
