"""Pairwise differences between models and their statistical significance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError
from nextclick.evaluation.significance import Method, all_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.evaluation.significance import Pair
    from nextclick.report.report_data import LeaderboardEntry


def pairwise_differences(entries: Sequence[LeaderboardEntry], metric: str) -> dict[str, Any]:
    """Test the differences between all pairs of entries.

    Returns:
        `best`: label of the first entry that is not leaky, or of the first entry;
        `single_seed`: labels of nondeterministic models trained with one seed;
        `pairs`: all pairs, empty if they cannot be tested; `no_pairs_reason`: why, or None.
    """
    best = next((entry for entry in entries if entry.row.leaky is None), entries[0])
    differences: dict[str, Any] = {
        "best": best.label,
        "single_seed": [e.label for e in entries if len(e.runs) == 1 and not e.deterministic],
        "pairs": [],
        "no_pairs_reason": None,
    }
    if len(entries) < 2:
        return differences | {"no_pairs_reason": "there is only one model"}
    if any(run.ranks is None for entry in entries for run in entry.runs):
        return differences | {"no_pairs_reason": "the ranks of some models were not stored"}
    name, k = parse_metric(metric)
    try:
        pairs = all_pairs([_method(entry, name, k) for entry in entries])
    except ConfigError as error:  # too few sessions
        return differences | {"no_pairs_reason": str(error)}
    return differences | {"pairs": [_pair_to_json(pair) for pair in pairs]}


def find_pair(pairs: Sequence[dict[str, Any]], first: str, second: str) -> dict[str, Any] | None:
    """Find the pair of two labels, its difference as first minus second; None if there is none."""
    for pair in pairs:
        if (pair["first"], pair["second"]) == (first, second):
            return dict(pair)
        if (pair["first"], pair["second"]) == (second, first):
            reversed_difference = {
                "difference": -pair["difference"], "low": -pair["high"], "high": -pair["low"]
            }  # fmt: skip
            return dict(pair) | reversed_difference | {"first": first, "second": second}
    return None


def _method(entry: LeaderboardEntry, metric: str, k: int) -> Method:
    """The metric of each session, (S, n seeds), and the prefixes of each session, (S,)."""
    sums = [run.ranks.sums(metric, k) for run in entry.runs if run.ranks is not None]
    _, prefixes = sums[0]
    return Method(
        entry.label,
        np.column_stack([of_seed for of_seed, _ in sums]),
        prefixes,
        entry.deterministic,
    )


def _pair_to_json(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "standard_error": pair.error,
        "p": pair.p,
        "p_holm": pair.p_holm,
        "scope": pair.scope,
        "significant": pair.significant,
    }
