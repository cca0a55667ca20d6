"""Checks of seeds, cut-offs and metric before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.core.metrics import METRICS, checked_cutoff
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_seeds(seeds: Sequence[int]) -> None:
    """Check that the seeds are different integers, at least one.

    Raises:
        ConfigError: they are not.
    """
    if not list(seeds) or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be one or more different integers, got {list(seeds)}")


def checked_cutoffs(
    ks: Sequence[int], metric: str | None, n_items: int
) -> tuple[tuple[int, ...], str]:
    """The distinct cut-offs, ascending, and the metric, by default recall at the largest.

    Raises:
        ConfigError: no cut-off, a cut-off out of range, or a metric without a cut-off of `ks`.
    """
    cutoffs = tuple(sorted(set(ks)))
    if not cutoffs:
        raise ConfigError(f"ks must name at least one cut-off in 1..{n_items}, got none")
    for k in cutoffs:
        checked_cutoff(f"recall@{k}", n_items)
    metric = metric or f"recall@{cutoffs[-1]}"
    metrics = [f"{name}@{k}" for k in cutoffs for name in METRICS]
    if metric not in metrics:
        raise ConfigError(f"metric must be one of {', '.join(metrics)}, got {metric!r}")
    return cutoffs, metric
