"""Which differences are beyond chance: all pairs, and for each line those a reader looks for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError
from nextclick.evaluation.significance import Method, all_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.report.report_data import Entry


def differences(entries: Sequence[Entry], metric: str) -> dict[str, Any]:
    """All pairs, or why there are none; which line is the best that may be; single trainings.

    The best is the first line that does not leak, if there is one.
    """
    best = next((entry for entry in entries if entry.row.leaky is None), entries[0])
    found: dict[str, Any] = {
        "best": best.label,
        "single": [e.label for e in entries if len(e.runs) == 1 and not e.deterministic],
        "pairs": [],
        "no_pairs": None,
    }
    if len(entries) < 2:
        return found | {"no_pairs": "there is one model"}
    if any(run.ranks is None for entry in entries for run in entry.runs):
        return found | {"no_pairs": "the ranks of some models were not kept"}
    name, k = parse_metric(metric)
    try:
        pairs = all_pairs([_contestant(entry, name, k) for entry in entries])
    except ConfigError as error:  # too few sessions
        return found | {"no_pairs": str(error)}
    return found | {"pairs": [asdict(pair) | {"claimed": pair.claimed} for pair in pairs]}


def pair_of(numbers: dict[str, Any], one: str, other: str) -> dict[str, Any] | None:
    """The pair of two labels, with its difference seen from `one`; None if there is none."""
    for pair in numbers["pairs"]:
        if (pair["first"], pair["second"]) == (one, other):
            return dict(pair)
        if (pair["first"], pair["second"]) == (other, one):
            turned = {
                "difference": -pair["difference"], "low": -pair["high"], "high": -pair["low"]
            }  # fmt: skip
            return dict(pair) | turned | {"first": one, "second": other}
    return None


def _contestant(entry: Entry, metric: str, k: int) -> Method:
    told = [run.ranks.sums(metric, k) for run in entry.runs if run.ranks is not None]
    return Method(
        entry.label, np.column_stack([sums for sums, _ in told]), told[0][1], entry.deterministic
    )
