"""Accuracy by number of clicks before the target, by cutoff, and by model variant."""

from __future__ import annotations

from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nextclick.evaluation.ranking_metrics import LONGEST
from nextclick.report.significant_differences import find_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.report.report_data import LeaderboardEntry

CUTOFFS = {"recall": (5.0, 10.0, 15.0, 20.0), "mrr": (10.0, 20.0, 30.0, 40.0, inf)}
MIN_PLOTTED_PREFIXES = 30  # of a length; with fewer, a single hit is visible as a peak


def by_length(entries: Sequence[LeaderboardEntry], against: str | None, k: int) -> dict[str, Any]:
    """Count hits by number of clicks before the target (NARM, Table 5).

    Args:
        entries: entries of the leaderboard, best first.
        against: label that the gain of the best entry is relative to; None, or a label without a
            result, selects the runner-up.
        k: cutoff of the Recall@K whose hits are counted.

    Returns:
        `rows` with mean hits over the seeds for each label, and the relative `gain` in hits of the
        `best` label over the label `against`.
    """
    labels = [entry.label for entry in entries]
    baseline = against if against in labels[1:] else next(iter(labels[1:]), None)
    rows_by_label = {
        entry.label: [_rows_by_length(run.result.evaluation) for run in entry.runs]
        for entry in entries
    }
    rows = []
    for length, row in rows_by_label[labels[0]][0].items():
        hits = {
            label: fmean(run_rows[length]["hits"][str(k)] for run_rows in runs)
            for label, runs in rows_by_label.items()
        }
        gain = None
        if baseline is not None and hits[baseline] > 0:
            gain = hits[labels[0]] / hits[baseline] - 1
        rows.append(
            {
                "length": f"{length}+" if length == LONGEST else str(length),
                "prefixes": row["prefixes"],
                "hits": hits,
                "gain": gain,
            }
        )
    return {"best": labels[0], "against": baseline, "rows": rows}


def plotted_lengths(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `by_length` with enough prefixes to plot; in a small test set, the largest ones."""
    minimum = min(MIN_PLOTTED_PREFIXES, max(row["prefixes"] for row in rows))
    return [row for row in rows if row["prefixes"] >= minimum]


def by_cutoff(entries: Sequence[LeaderboardEntry]) -> dict[str, dict[str, dict[str, float]]]:
    """Recall at 5 to 20 (NARM, Figure 5) and MRR at 10 to all (ASARS, Figure 6).

    Returns:
        Metric to label to K (`all` for no cutoff) to the mean over the seeds. Entries whose ranks
        were not stored are left out.
    """
    ranked = [entry for entry in entries if all(run.ranks is not None for run in entry.runs)]
    return {
        metric: {entry.label: _metric_at(entry, metric, cutoffs) for entry in ranked}
        for metric, cutoffs in CUTOFFS.items()
    }


def variants(
    rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Compare the variants of a model (NARM, Table 4; LGSR, Figure 3; TASRec, Table 2).

    Args:
        rows: rows of the leaderboard, best first.
        pairs: all pairwise differences.

    Returns:
        One element per model with at least two rows: the `parameters` in which its rows differ,
        and for each row its label, the `values` of these parameters and the `pair` with the best
        variant (None for the best variant itself).
    """
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    return [
        _variants_of(model, model_rows, pairs)
        for model, model_rows in by_model.items()
        if len(model_rows) > 1
    ]


def _rows_by_length(evaluation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    # the keys of `hits` are text in an evaluation read from JSON
    return {
        row["length"]: row | {"hits": {str(k): n for k, n in row["hits"].items()}}
        for row in evaluation["by_length"]
    }


def _metric_at(entry: LeaderboardEntry, metric: str, cutoffs: Sequence[float]) -> dict[str, float]:
    return {
        "all" if k == inf else f"{k:g}": fmean(
            run.ranks.mean(metric, k) for run in entry.runs if run.ranks is not None
        )
        for k in cutoffs
    }


def _variants_of(
    model: str, rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    first, best = rows[0]["config"], rows[0]["label"]
    parameters = [
        name for name in first if any(row["config"].get(name) != first[name] for row in rows)
    ]
    return {
        "model": model,
        "parameters": parameters,
        "rows": [
            {
                "label": row["label"],
                "values": {name: row["config"].get(name) for name in parameters},
                "pair": None if row["label"] == best else find_pair(pairs, row["label"], best),
            }
            for row in rows
        ],
    }
