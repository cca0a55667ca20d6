"""Metrics of the lists that a server showed, with confidence intervals.

For the lists L of live sessions and the clicks that belong to them (see `data.shown_lists`):

    click-through   lists with a click on an item / lists
    hit rate        clicks on an item of their list / clicks that belong to a list
    MRR             Σ 1 / position of the first click on the list (0 without) / lists
    click rate      clicked items / shown items, also by position

With exploration, an item is shown at its position with a propensity p below 1. The inverse-
propensity estimate of the click rate is Σ c / p over Σ 1 / p (self-normalized; Swaminathan and
Joachims, NIPS 2015): that of items drawn uniformly from those that could be shown there. Intervals
resample sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.evaluation.intervals import ratio_estimates

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from nextclick.core.types import Float64Array

ONLINE_METRICS = {
    "click_through": "click-through",
    "hit_rate": "hit rate",
    "mrr": "MRR",
    "click_rate": "click rate of items",
    "click_rate_ips": "click rate of items, inverse propensity",
}
# numerator and denominator of each metric of lists, as columns of the lists
RATIOS = {
    "click_through": ("clicked", None),
    "hit_rate": ("hits", "clicks"),
    "mrr": ("reciprocal_rank", None),
}


def list_metrics(
    lists: pl.DataFrame, positions: pl.DataFrame, *, n_bootstrap: int, seed: int = 0
) -> dict[str, Any]:
    """The metrics of a group of lists as JSON values: name to value, low and high, or to null.

    Args:
        lists: see `ShownLists.lists`.
        positions: the rows of `ShownLists.positions` of these lists.
        n_bootstrap: resamples of the intervals; 0 omits them.
        seed: seed of the resampling.
    """
    session = _codes(lists["session"].to_numpy())
    sums: dict[str, tuple[Float64Array, Float64Array]] = {}
    for name, (numerator, denominator) in RATIOS.items():
        ones = np.ones(len(lists))
        below = ones if denominator is None else lists[denominator].to_numpy().astype(np.float64)
        above = lists[numerator].to_numpy().astype(np.float64)
        sums[name] = _by_session(session, above), _by_session(session, below)
    sums |= _item_sums(_codes(positions["session"].to_numpy()), positions)
    return _estimates(sums, n_bootstrap, seed)


def position_curve(
    positions: pl.DataFrame, *, n_positions: int, n_bootstrap: int, seed: int = 0
) -> list[dict[str, Any]]:
    """The click rate at each position, the first first.

    Args:
        positions: rows of `ShownLists.positions`.
        n_positions: largest position.
        n_bootstrap: resamples of the intervals; 0 omits them.
        seed: seed of the resampling.
    """
    rows: list[dict[str, Any]] = []
    session = _codes(positions["session"].to_numpy())
    at = positions["position"].to_numpy()
    last = min(n_positions, int(at.max(initial=0)))
    sums: dict[str, tuple[Float64Array, Float64Array]] = {}
    for position in range(1, last + 1):
        here = at == position
        own = _item_sums(session, positions, here)
        sums |= {f"{position} {name}": pair for name, pair in own.items()}
        clicked = positions["clicked"].to_numpy()
        rows.append(
            {"position": position, "shown": int(here.sum()), "clicks": int(clicked[here].sum())}
        )
    values = _estimates(sums, n_bootstrap, seed)
    names = {key.partition(" ")[2] for key in sums}
    return [row | {name: values[f"{row['position']} {name}"] for name in names} for row in rows]


def explores(positions: pl.DataFrame) -> bool:
    """Whether a propensity differs from 1."""
    return bool((positions["propensity"] != 1).any())


def effective_sample_size(positions: pl.DataFrame) -> float:
    """(Σ w)² / Σ w² of the weights w = 1 / propensity (Kish, 1965)."""
    weights = 1 / positions["propensity"].to_numpy()
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def _item_sums(
    session: Any, positions: pl.DataFrame, here: Any = None
) -> dict[str, tuple[Float64Array, Float64Array]]:
    """Numerators and denominators of the click rates by session, of the rows `here`."""
    clicked = positions["clicked"].to_numpy().astype(np.float64)
    ones = np.ones(len(clicked)) if here is None else here.astype(np.float64)
    sums = {"click_rate": (_by_session(session, clicked * ones), _by_session(session, ones))}
    if explores(positions):
        weights = ones / positions["propensity"].to_numpy()
        weighted = _by_session(session, clicked * weights), _by_session(session, weights)
        sums["click_rate_ips"] = weighted
    return sums


def _estimates(
    sums: Mapping[str, tuple[Float64Array, Float64Array]], n_bootstrap: int, seed: int
) -> dict[str, Any]:
    if not sums:
        return {}
    estimates = ratio_estimates(
        list(sums),
        np.column_stack([numerator for numerator, _ in sums.values()]),
        np.column_stack([denominator for _, denominator in sums.values()]),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    return {
        name: None if one is None else {"value": one.value, "low": one.low, "high": one.high}
        for name, one in estimates.items()
    }


def _codes(sessions: Any) -> Any:
    """Session numbers renumbered from 0."""
    return np.unique(sessions, return_inverse=True)[1]


def _by_session(session: Any, values: Float64Array) -> Float64Array:
    return np.bincount(session, weights=values).astype(np.float64)
